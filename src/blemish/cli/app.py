"""The command ``blemish``: its verbs, and how every one of them ends.

Exit codes: 0 all images ok, 1 a defect or an unsure one among them, 2 an error, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from blemish import __version__
from blemish.cli.benchmark import benchmark_app
from blemish.cli.calibrate import calibrate
from blemish.cli.data import data_app
from blemish.cli.demo import demo
from blemish.cli.diagnose import diagnose
from blemish.cli.doctor import doctor
from blemish.cli.evaluate import evaluate
from blemish.cli.export import export
from blemish.cli.fit import fit
from blemish.cli.info import info
from blemish.cli.latency import latency
from blemish.cli.learn import learn
from blemish.cli.methods import methods
from blemish.cli.plan import plan
from blemish.cli.predict import predict
from blemish.cli.report import report
from blemish.cli.reproduce import reproduce
from blemish.cli.serve import serve
from blemish.cli.studio import studio
from blemish.cli.trend import trend
from blemish.errors import BlemishError, PictureWarning


def _end_unheard() -> NoReturn:
    """The reader of our output went away, as `head` does: nothing is left to say."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    sys.exit(141)


class _Verbs(typer.core.TyperGroup):
    """Ends by itself what Typer would end with exit code 1, which here says "a defect"."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            _end_unheard()
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):  # Rich ends by itself, with 1
                _end_unheard()
            raise
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            sys.exit(130)


app = typer.Typer(
    name="blemish",
    cls=_Verbs,
    help="Visual anomaly detection for inspection: learns from good images only and says of new "
    "ones whether something is wrong, where, and how sure it is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    demo,
    plan,
    fit,
    predict,
    evaluate,
    report,
    diagnose,
    calibrate,
    learn,
    export,
    serve,
    studio,
    trend,
    latency,
    info,
    methods,
    reproduce,
    doctor,
):
    app.command()(verb)
app.add_typer(benchmark_app)
app.add_typer(data_app)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"blemish {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every way it can end has its exit code."""
    # Before torch is there, which reads it once: threads that wait for each other in a loop take
    # the cores from those that they wait for as soon as another program wants one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.simplefilter("ignore", PictureWarning)  # said once, with the number of pictures
    try:
        app()
    except BlemishError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 2))
    except OSError as error:
        print(f"Error: {_of_the_system(error)}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if _lacks_memory(error):
            print(
                "Error: There is not enough memory for this. Choose a smaller --size, --set "
                "batch_size=… or --batch-size, or close other programs.",
                file=sys.stderr,
            )
            sys.exit(2)
        # Python's own exit code for this, 1, would read as "a defect was found".
        traceback.print_exc()
        print("This is a bug in blemish; please report the lines above.", file=sys.stderr)
        sys.exit(2)


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, of which file, and what to look at."""
    if error.filename is None or error.strerror is None:
        return str(error)
    place = str(error.filename)
    if place.startswith(("/proc/", "/sys/")):
        return f"Cannot write {place}: the system keeps no files there. Choose another folder."
    return f"{place}: {error.strerror}. Check the path, and the permissions and space of its disk."


def _lacks_memory(error: Exception) -> bool:
    # PyTorch has no exception of its own for the processor's memory.
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or "can't allocate memory" in said
        or ("out of memory" in said)
    )


if __name__ == "__main__":
    main()
