-- The forwarding rule: what arrives is sent on to Lightbox when its series has been quiet
-- (StableAge). An emergency, by its Requested Procedure Priority, goes to LIGHTBOX_STAT at once.
-- What comes in from Lightbox is not sent back; if it were, Lightbox would know it for its own.
local done = {}  -- series that need no forwarding when they become stable

local function send(id, modality)
  RestApiPost('/modalities/' .. modality .. '/store',
    DumpJson({['Resources'] = {id}, ['Asynchronous'] = true}))
end

local function from_lightbox(origin)
  return origin['RequestOrigin'] == 'DicomProtocol'
    and string.sub(origin['RemoteAet'] or '', 1, 8) == 'LIGHTBOX'
end

function OnStoredInstance(id, tags, metadata, origin)
  local series = ParseJson(RestApiGet('/instances/' .. id .. '/series'))['ID']
  if from_lightbox(origin) then
    done[series] = true
  elseif tags['RequestedProcedurePriority'] == 'STAT' then
    done[series] = true
    send(id, 'lightbox-stat')
  end
end

function OnStableSeries(id, tags, metadata)
  if done[id] then
    done[id] = nil
  else
    send(id, 'lightbox')
  end
end
