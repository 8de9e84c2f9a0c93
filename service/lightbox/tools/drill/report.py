"""The report of a drill, as a person files it: one page of HTML that needs nothing else."""

from __future__ import annotations

import html
import json
from typing import Any

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #17202a; background: #fff;
       max-width: 60rem; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 0; }
.lead { margin: 0 0 1.5rem; color: #52606d; }
.verdict { display: inline-block; padding: .1rem .7rem; border-radius: .3rem; font-weight: 650;
           border: 1.5px solid; white-space: nowrap; }
.passed { color: #0b5d3b; background: #e7f6ee; border-color: #0b5d3b; }
.failed { color: #8f1d14; background: #fdecea; border-color: #8f1d14; }
table { border-collapse: collapse; width: 100%; margin: 0 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
         border-bottom: 1px solid #e1e6eb; overflow-wrap: anywhere; }
th { width: 11rem; font-weight: 600; color: #52606d; }
.fault { border: 1px solid #d5dce3; border-radius: .5rem; padding: 1rem 1.2rem 0;
         margin: 0 0 1.2rem; break-inside: avoid; }
.head { display: flex; justify-content: space-between; gap: 1rem; margin: 0 0 .6rem; }
.fault table { margin-bottom: .6rem; }
.fault tr:last-child > * { border-bottom: 0; }
.figures { font-variant-numeric: tabular-nums; }
code { font: .86em ui-monospace, monospace; }
footer { margin-top: 2rem; color: #52606d; }
.sign { margin-top: 3.5rem; display: flex; gap: 3rem; }
.sign span { flex: 1; border-top: 1px solid #17202a; padding-top: .3rem; }
@media print { body { margin: 0; max-width: none; } }
"""


def json_text(report: dict[str, Any]) -> str:
    """Return the report for programs; its SHA-256 stands in the ledger."""
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def html_text(report: dict[str, Any], sha256: str) -> str:
    """Return the report for people.

    Parameters
    ----------
    report : dict
        As :meth:`Drill.as_json` gives it.
    sha256 : str
        Of :func:`json_text`, which the ledger holds.
    """
    host, config = report["host"], report["configuration"]
    number = len(report["faults"])
    facts = [
        ("Held", f"{report['at']}, {report['seconds']:.0f} s, by {report['by']}"),
        ("Version", f"Lightbox {report['version']}"),
        ("Models", "; ".join(f"{name} {said}" for name, said in report["models"].items())),
        ("Host", f"{host['name']}: {host['system']}, {host['processor']}"),
        ("Configuration", config.get("file", "the defaults")),
        ("SHA-256 of the file", _code(config.get("file_sha256", ""))),
        ("SHA-256 in force", _code(config["effective_sha256"])),
        ("Ledger of the drill", _ledger(report["ledger"])),
        ("SHA-256 of report.json", _code(sha256)),
    ]
    passed = sum(fault["seen"]["passed"] for fault in report["faults"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lightbox drill, {_text(report["at"])}: {_text(report["verdict"])}</title>
<style>{_STYLE}</style></head><body>
<h1>Lightbox drill {_verdict("passed" if report["passed"] else "failed")}</h1>
<p class="lead">{passed} of {number} faults ended as expected. The installed system was started a
second time, with its own configuration and models, in a sandbox beside the production data, and
connected to a PACS of the drill. Production was not touched.</p>
{_table(facts)}
{"".join(_fault(fault) for fault in report["faults"])}
<footer>In the production ledger this drill is one event: its time, who held it, the verdict and
the SHA-256 of report.json. <code>lightbox ledger prove</code> counts it.</footer>
<div class="sign"><span>Date, name</span><span>Signature</span></div>
</body></html>
"""


def _fault(fault: dict[str, Any]) -> str:
    figures = ", ".join(
        f"{_name(key)}: {_number(n)}" for key, n in fault["seen"]["figures"].items()
    )
    rows = [
        ("Done", fault["did"]),
        ("Expected", fault["expected"]),
        ("Seen", fault["seen"]["words"]),
        ("Figures", _Html(f'<span class="figures">{_text(figures)}</span>' if figures else "")),
    ]
    return f"""<section class="fault"><div class="head">
<h2>{_text(fault["fault"])} &nbsp;{_text(fault["name"])}</h2>{_verdict(fault["verdict"])}</div>
{_table([row for row in rows if row[1]])}</section>
"""


def _ledger(ledger: dict[str, Any]) -> str:
    said = (
        f"{ledger['rows']} rows prove: {ledger['accepted']} accepted = {ledger['delivered']} "
        f"delivered + {ledger['listed']} listed + {ledger['in_progress']} in progress"
    )
    return said if ledger["ok"] else "; ".join(ledger["problems"])


def _table(rows: list[tuple[str, str]]) -> str:
    cells = (
        f"<tr><th>{_text(key)}</th><td>{value if isinstance(value, _Html) else _text(value)}</td></tr>"
        for key, value in rows
        if value
    )
    return f"<table>{''.join(cells)}</table>"


def _verdict(word: str) -> str:
    return f'<span class="verdict {word}">{word.upper()}</span>'


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _code(text: str) -> _Html:
    return _Html(f"<code>{_text(text)}</code>" if text else "")


def _name(key: str) -> str:
    return key.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def _text(value: object) -> str:
    return html.escape(str(value))
