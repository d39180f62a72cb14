"""Entry point: parse, run one command, and turn expected errors into one line and an exit status.

Slow imports come after the handler of Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from landscape.cli.terminal import interrupts, streams
from landscape.errors import LandscapeError, StorageWarning

USAGE_ERROR = 2  # exit status of everything that a user can mend
OUT_OF_MEMORY = "out of memory; try a smaller --subset or fewer --points, or another --device"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Exit 0 when done, 1 if `landscape doctor` found something broken, 2 on an expected error, 74 where stdout could not
    be written, 130 on Ctrl-C.

    Args:
        argv: the arguments; None for those of this process.
    """
    pressed, owns_process = interrupts.Interrupts(), argv is None
    try:
        pressed.start()
        status = _run(list(sys.argv[1:] if argv is None else argv), owns_process=owns_process)
        pressed.stop(exiting=owns_process)
    except BaseException as error:
        if not pressed.seen and not isinstance(error, KeyboardInterrupt):
            raise
        pressed.announce()  # also where an import or a library made another exception of it
        status = interrupts.INTERRUPTED
    finally:
        pressed.stop(exiting=owns_process)
    if status:
        sys.exit(status)


def _run(arguments: list[str], *, owns_process: bool) -> int:
    """Return the exit status of a command."""
    interrupts.remember(arguments)
    if owns_process:
        streams.prepare_process()
    with streams.guarded() as stdout:
        from landscape.cli.terminal import console

        error, status = None, 0
        try:
            for word in arguments:
                word.encode()  # files of results could not say which checkpoint they are of
            status = _execute(arguments)
            sys.stdout.flush()
        except LandscapeError as expected:
            error = str(expected)
            for note in getattr(expected, "__notes__", ()):  # the traceback of a worker
                console.say(note)
        except MemoryError:
            error = OUT_OF_MEMORY
        except RuntimeError as failure:
            if not _is_out_of_memory(failure):
                raise
            error = OUT_OF_MEMORY
        except UnicodeEncodeError as name:
            if name.reason != "surrogates not allowed":
                raise
            shown = name.object.encode(errors="backslashreplace").decode()
            error = f"expected names in UTF-8, got {shown!r}; rename the file"
        except OSError as refused:  # by the operating system, where nothing knew more to say about it
            if refused.strerror is None:
                raise
            error = f"{refused.filename}: {refused.strerror}" if refused.filename is not None else refused.strerror
        if error is not None:
            console.error(error)
            return USAGE_ERROR
        if stdout.error is not None:
            console.error(f"cannot write to stdout: {stdout.error.strerror}; what was measured is stored all the same")
            return streams.IO_ERROR
    return status


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Return True for torch's own error of a GPU (`torch.OutOfMemoryError`) or of the CPU's allocator."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def _execute(arguments: list[str]) -> int:
    """Run the command that the arguments ask for, and return its exit status."""
    from landscape.cli.parsing import HELP, parse
    from landscape.cli.terminal import console
    from landscape.cli.terminal.warned import in_one_line
    from landscape.version import __version__

    if arguments in ([], ["-h"], ["--help"]):
        print(HELP)
        return 0
    if arguments == ["--version"]:
        print(f"landscape {__version__}")
        return 0
    command = parse(arguments)
    if command is None:  # help was printed
        return 0
    with console.results_only_on_stdout(), in_one_line(StorageWarning):
        try:
            return command.run() or 0
        except SystemExit as stop:  # none of ours: it would claim success, or leave without a word
            raise LandscapeError(
                f"a model, loss or data set of your own called sys.exit({stop.code!r}); remove that call"
            ) from stop
