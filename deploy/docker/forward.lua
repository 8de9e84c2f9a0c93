-- The forwarding rule: what arrives is sent on to Lightbox when its series has been quiet.
-- An emergency, by the DICOM procedure priority, goes to LIGHTBOX_STAT at once. What Lightbox made
-- comes in from LIGHTBOX and is not sent back; if it were, Lightbox would know it for its own.
local function from_lightbox(origin)
  return origin['RequestOrigin'] == 'DicomProtocol'
    and string.sub(origin['RemoteAet'] or '', 1, 8) == 'LIGHTBOX'
end

local results = {}

function OnStoredInstance(id, tags, metadata, origin)
  if from_lightbox(origin) then
    results[ParseJson(RestApiGet('/instances/' .. id .. '/series'))['ID']] = true
  elseif tags['RequestedProcedurePriority'] == 'STAT' then
    SendToModality(id, 'lightbox-stat')
  end
end

function OnStableSeries(id, tags, metadata)
  if results[id] then
    results[id] = nil
  elseif tags['RequestedProcedurePriority'] ~= 'STAT' then
    SendToModality(id, 'lightbox')
  end
end
