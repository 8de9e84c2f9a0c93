"""The ``lightbox`` command: its subcommands by name, and what it exits with.

Exit 0: done. 1: a negative answer or a failure. 2: wrong use or configuration. Errors are one
line on stderr; ``--debug`` shows the traceback. Subcommands are imported when they are used, so
that ``lightbox --help`` is quick.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from lightbox.cli.examples import EXAMPLES, EXIT
from lightbox.cli.invocation import Invocation
from lightbox.domain.errors import ConfigurationError, LightboxError, UsageError
from lightbox.version import __version__

COMMANDS = {
    "serve": "Run the service.",
    "demo": "Send real studies through the service and show what comes back.",
    "send": "Send DICOM files to a node (C-STORE).",
    "echo": "Ask a node whether it answers (C-ECHO).",
    "doctor": "Look whether everything is well; say what is wrong and what mends it.",
    "studies": "List the studies, or show one study's timeline.",
    "ledger": "Account for every accepted instance.",
    "backup": "Copy the data directory beside the running service, and prove the copy.",
    "retry": "Try again what failed.",
    "cancel": "Cancel the jobs of a study.",
    "erase": "Erase the files of a study; the ledger keeps the proof.",
    "audit": "Have a study's fast results audited.",
    "urgency": "Make a study more urgent, or less.",
    "stop": "Stop one model, or all; works whatever else is broken.",
    "resume": "End a stop.",
    "explain": "Explain images offline, without a network.",
    "models": "Begin, list, check and measure model packages.",
    "replay": "Compute a past result again and compare.",
    "drill": "Hold a drill: faults on purpose, beside production, with a report.",
    "bench": "Measure speed on this machine, side by side with peers.",
    "methods": "List the explanation methods.",
    "rules": "Say what an instance would meet, and why.",
    "completion": "Print what a shell needs to complete commands.",
    "config": "Check, describe, print or take up the configuration.",
}
"""Name → one line of help; ``NAME`` lives in ``lightbox.cli.NAME`` as an object ``NAME``."""

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_LAST = """Exit codes: 0 done, 1 a negative answer or a failure, 2 wrong use or configuration, 130
interrupted; one line on stderr says what and why.

Files: the configuration (-c FILE; all keys: lightbox config example). What the service keeps
stands in data_dir, /var/lib/lightbox where nothing else is configured.

Environment: LIGHTBOX_CONFIG names the configuration; LIGHTBOX__DICOM__PORT and the like beat it.

Example: lightbox demo. Help on a command: lightbox COMMAND --help."""


def _remember_config(context: click.Context, _parameter: click.Parameter, path: str | None) -> None:
    if path is not None:
        context.ensure_object(Invocation).config = path


def _remember_debug(
    context: click.Context, _parameter: click.Parameter, debug: bool
) -> None:  # click's signature
    if debug:
        context.ensure_object(Invocation).debug = True


def _shared_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["-c", "--config"],
            metavar="FILE",
            expose_value=False,
            callback=_remember_config,
            help="Configuration (TOML); else LIGHTBOX_CONFIG, else the defaults.",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_remember_debug,
            help="Show tracebacks.",
        ),
    ]


def _with_shared_options(command: click.Command, name: str = "") -> click.Command:
    """Let ``-c`` and ``--debug`` stand after a subcommand's name too; end its help as a manual."""
    taken = {name for parameter in command.params for name in parameter.opts}
    if "--debug" not in taken:
        command.params.extend(_shared_options())
    if not command.epilog and name in EXAMPLES:
        command.epilog = f"Example: {EXAMPLES[name]}"
    if isinstance(command, click.Group):
        for word, below in command.commands.items():
            _with_shared_options(below, f"{name} {word}")
    elif command.epilog and "exit" not in (command.help or "").lower():
        command.epilog = f"{EXIT}\n\n{command.epilog}"
    return command


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in the order of a first day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lightbox.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return _with_shared_options(command, cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name; nothing is imported."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """Write the summaries of :data:`COMMANDS`; nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    params=_shared_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_LAST,
)
@click.version_option(__version__, message="lightbox %(version)s")
def lightbox() -> None:
    """DICOM inference that explains itself, in the PACS."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.
    """
    invocation = Invocation()
    try:
        code = lightbox.main(
            list(arguments), prog_name="lightbox", standalone_mode=False, obj=invocation
        )
        sys.stdout.flush()
    except click.ClickException as error:
        return _wrong_use(error)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has gone: nothing to say, nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except LightboxError as error:
        _say(str(error))
        if invocation.debug:
            traceback.print_exc()
        return 2 if isinstance(error, ConfigurationError | UsageError) else 1
    except Exception as error:  # noqa: BLE001  # the door of the program: one line for people
        if invocation.debug:
            traceback.print_exc()
        else:
            _say(f"{type(error).__name__}: {error} (a fault of ours: --debug shows where)")
        return 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the program: the entry point ``lightbox``."""
    sys.exit(run(sys.argv[1:]))


def _wrong_use(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "lightbox"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    else:
        _say(f"{path}: {error.format_message()} (try: {path} --help)", name="")
    return error.exit_code


def _say(line: str, name: str = "lightbox: ") -> None:
    text = " ".join(line.split())
    click.echo(f"{name}{text}", err=True)
