"""What holds for the whole house: lazy commands, one-line failures, bare imports, links."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lipdeploy import __version__
from lipdeploy.cli import COMMANDS, main
from lipdeploy.cli.lazy_group import Entry

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "lipdeploy"
ROOMS = sorted(p.name for p in PACKAGE.iterdir() if p.is_symlink())
PRESENT = sorted(p.stem for p in (PACKAGE / "cli").glob("*.py") if p.stem in COMMANDS)

LIST_MODULES = """
import sys
from lipdeploy.cli import main
main(["--help"])
print("\\n".join(sys.modules), file=sys.stderr)
"""
BLOCK = """
import importlib, importlib.abc, pkgutil, sys
BLOCKED = {"torch", "onnx", "onnxscript", "onnx_ir", "tqdm", "matplotlib", "ray"}
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
"""
IMPORT_ROOM = """
OPTIONAL = {  # each the one file behind an option that needs an extra
    "lipdeploy.runtime.evaluation.curve_plot",
    "lipdeploy.runtime.evaluation.ray_job",
    "lipdeploy.runtime.openvino_session",
}
room = importlib.import_module("lipdeploy." + sys.argv[1])
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    if module.name not in OPTIONAL:
        importlib.import_module(module.name)
        print(module.name)
"""
RUN_MAIN = "from lipdeploy.cli import main; sys.exit(main())"

FAKE = """
import click
from lipdeploy.core import errors
@click.command()
@click.option("--source")
@click.pass_context
def command(ctx, source):
    {body}
"""

Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]


def python(code: str, *args: str, flags: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", code, *args], capture_output=True, text=True, check=False
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `lipdeploy fake [args]`, a command with the given body; return code, stdout, stderr."""
    monkeypatch.delenv("LIPDEPLOY_DEBUG", raising=False)
    monkeypatch.setitem(COMMANDS, "fake", Entry("fake_command", "Do as the test says."))
    monkeypatch.syspath_prepend(tmp_path)

    def call(body: str, *args: str) -> Outcome:
        sys.modules.pop("fake_command", None)
        (tmp_path / "fake_command.py").write_text(FAKE.format(body=body))
        code = main(args or ["fake"])
        return code, *capsys.readouterr()

    return call


def test_help_imports_no_room_and_no_command() -> None:
    done = python(LIST_MODULES)
    loaded = set(done.stderr.split())
    ours = {m for m in loaded if m.startswith("lipdeploy")}
    assert ours == {
        "lipdeploy",
        "lipdeploy.cli",
        "lipdeploy.cli.lazy_group",
        "lipdeploy.core",
        "lipdeploy.core.errors",
    }
    assert not loaded & {"numpy", "cv2", "onnxruntime", "yaml", "torch"}
    assert all(name in done.stdout and COMMANDS[name].help in done.stdout for name in PRESENT)


def test_every_command_module_is_in_the_table() -> None:
    files = (PACKAGE / "cli").glob("*.py")
    modules = {p.stem for p in files if "\n@click.command(" in p.read_text(encoding="utf-8")}
    assert modules
    assert modules <= set(COMMANDS)


@pytest.mark.parametrize("name", PRESENT)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: lipdeploy {name}")


def test_a_command_without_a_module_does_not_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "ghost", Entry("lipdeploy.cli.ghost", "Not written yet."))
    assert main(["--help"]) == 0
    assert "ghost" not in capsys.readouterr().out
    assert main(["ghost"]) == 2
    assert "no such command 'ghost'" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lipdeploy, version {__version__}\n"


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: lipdeploy")


def test_near_miss_of_a_command(run: Run) -> None:
    code, out, err = run("pass", "fakee")
    assert (code, out) == (2, "")
    assert err == (
        "lipdeploy: error: no such command 'fakee'; did you mean 'fake'?\nTry 'lipdeploy --help'.\n"
    )


def test_near_miss_of_an_option(run: Run) -> None:
    code, _, err = run("pass", "fake", "--sorce", "0")
    first, hint = err.splitlines()
    assert code == 2
    assert "did you mean" in first.lower()
    assert "--source" in first
    assert hint == "Try 'lipdeploy fake --help'."


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("LipdeployError", 1),
        ("InputError", 2),
        ("VerificationError", 3),
        ("SourceError", 4),
        ("SourceLostError", 5),
        ("ArtefactError", 6),
    ],
)
def test_our_errors_are_one_line(run: Run, name: str, code: int) -> None:
    outcome = run(f"raise errors.{name}('got a,\\n  expected b; do c')")
    assert outcome == (code, "", "lipdeploy: error: got a, expected b; do c\n")


def test_what_the_system_refuses_is_no_internal_error(run: Run) -> None:
    code, _, err = run("open('/nonexistent/model.onnx')")
    assert code == 1
    assert err == (
        "lipdeploy: error: [Errno 2] No such file or directory: '/nonexistent/model.onnx'\n"
    )


def test_an_unexpected_exception_is_one_line(run: Run) -> None:
    code, out, err = run("raise RuntimeError('two\\nlines')")
    assert (code, out) == (1, "")
    assert err == (
        "lipdeploy: internal error: RuntimeError: two lines; "
        "please report; run with LIPDEPLOY_DEBUG=1 for the traceback\n"
    )


def test_debug_shows_the_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPDEPLOY_DEBUG", "1")
    code, _, err = run("raise errors.SourceError('gone')")
    assert code == 4
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("lipdeploy: error: gone\n")


@pytest.mark.parametrize(
    ("command", "module", "requirement"),
    [
        ("train", "torch", "lipdeploy[train]"),
        ("train", "tqdm", "lipdeploy[train]"),
        ("export", "torch.onnx", "lipdeploy[export]"),
        ("fake", "onnx", "lipdeploy[export]"),
        ("fake", "matplotlib.pyplot", "lipdeploy[train]"),
        ("fake", "cv2", "lipdeploy"),
        ("certify", "ray.data", "lipdeploy[ray]"),
        ("stream", "cryptography.exceptions", "lipdeploy[sign]"),
    ],
)
def test_a_missing_package_names_the_extra(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, module: str, requirement: str
) -> None:
    monkeypatch.setitem(COMMANDS, command, COMMANDS["fake"])
    code, _, err = run(f"raise ModuleNotFoundError(name='{module}')", command)
    assert code == 2
    assert err == (
        f"lipdeploy: error: 'lipdeploy {command}' needs {module}, which is not installed: "
        f'pip install "{requirement}"\n'
    )


def test_a_missing_module_of_ours_is_an_internal_error(run: Run) -> None:
    code, _, err = run("import lipdeploy.core.no_such_module")
    assert code == 1
    assert "internal error: ModuleNotFoundError" in err


@pytest.mark.parametrize(
    ("body", "code"),
    [("pass", 0), ("return 3", 3), ("ctx.exit(3)", 3), ("raise KeyboardInterrupt", 130)],
)
def test_exit_codes(run: Run, body: str, code: int) -> None:
    outcome = run(body)
    assert (outcome[0], outcome[1], outcome[2].strip()) == (code, "", "")


def test_a_reader_that_went_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "lipdeploy", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("room", ["core", "runtime", "samples"])
def test_device_rooms_import_without_torch_and_onnx(room: str) -> None:
    done = python(BLOCK + IMPORT_ROOM, room)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name", [name for name in ("certify", "demo", "stream", "inspect") if name in PRESENT]
)
def test_device_commands_load_without_torch_and_onnx(name: str) -> None:
    done = python(BLOCK + RUN_MAIN, name, "--help")
    assert done.returncode == 0, done.stderr


def test_lost_links_say_what_happened(tmp_path: Path) -> None:
    package = tmp_path / "lipdeploy"
    package.mkdir()
    (package / "__init__.py").write_text((PACKAGE / "__init__.py").read_text())
    (package / "core").write_text("../../core")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import lipdeploy"
    done = python(code, flags=["-S"])  # without what is installed, such as ourselves
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert "git clone -c core.symlinks=true" in last


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_of_a_room_reaches_the_wheel(room: str) -> None:
    assert (PACKAGE / room).resolve() == ROOT / room
    folders = {p.parent for p in (ROOT / room).rglob("*.py")}
    assert folders
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").is_file()] == []
