"""What a manual page ends with, for the commands below other commands: an example each."""

from __future__ import annotations

EXAMPLES = {
    "bench attacks": "lightbox bench attacks --only M3 --only M5",
    "bench audit": "lightbox bench audit --json audit.json",
    "bench deliver": "lightbox bench deliver --studies 20",
    "bench encode": "lightbox bench encode --rounds 100 --json encode.json",
    "bench fast": "lightbox bench fast --rounds 100 --json fast.json",
    "bench ledger": "lightbox bench ledger --rows 100000",
    "bench log": "lightbox bench log BENCHMARKS.md fast.json audit.json",
    "bench memory": "lightbox bench memory --largest 256",
    "bench observe": "lightbox bench observe --rounds 20",
    "bench receive": "lightbox bench receive --instances 500",
    "bench restart": "lightbox bench restart --pending 1000",
    "bench turnaround": "lightbox bench turnaround --minutes 10",
    "config check": "lightbox -c /etc/lightbox.toml config check --json",
    "config example": "lightbox config example > /etc/lightbox.toml",
    "config reload": "lightbox -c /etc/lightbox.toml config reload",
    "config schema": "lightbox config schema > lightbox.schema.json",
    "ledger check": "lightbox ledger check || mail -s 'a file changed' pacs@hospital.example",
    "ledger list": "lightbox ledger list --json | jq '.instances[] | select(.reason)'",
    "ledger rebuild": "systemctl stop lightbox && lightbox ledger rebuild && systemctl start lightbox",
    "ledger prove": "lightbox ledger prove --json",
    "models bench": "lightbox models bench models/brain_tumour_mri",
    "models check": "lightbox models check brain_tumour_mri --measure --write",
    "models list": "lightbox models list --json",
    "models new": "lightbox models new models/chest_xray --onnx chest_xray.onnx",
    "models range": "lightbox models range chest_xray --images training --validation others",
    "models rollback": "lightbox models rollback chest_xray",
    "models use": "lightbox models use chest_xray ~/chest_xray_1.1.0",
    "rules test": "lightbox rules test image.dcm --called LIGHTBOX_STAT --priority high",
}
"""Command → example, where its own module gives none."""

EXIT = "Exit 0 if it is done, 1 if not, 2 for wrong use or configuration."
"""Of every command that does not say it more exactly."""
