from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lightbox.cli.main import COMMANDS, lightbox

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    done = CliRunner().invoke(lightbox, ["completion", shell])
    assert done.exit_code == 0
    assert "_LIGHTBOX_COMPLETE" in done.output


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_commands_by_that_script() -> None:
    script = """
eval "$(lightbox completion bash)"
COMP_WORDS=(lightbox s); COMP_CWORD=1
_lightbox_completion lightbox
echo "${COMPREPLY[@]}"
"""
    path = f"{BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert set(done.stdout.split()) == {name for name in COMMANDS if name.startswith("s")}
