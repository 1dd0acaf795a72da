"""`unisurg <verb>`: one verb per stage of the DAG, and a few for people.

Without options a stage reads and writes the paths that dvc.yaml names; with `--input`/`--output`
the same code runs on any folder. Each verb imports what it needs when it is called.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from unisurg import __version__, telemetry
from unisurg.settings import Settings, load

Verb = Callable[[argparse.Namespace, Settings], None]


def synthesize(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.synthetic.layouts import write

    write(options.output, settings.theatre, settings.seed)


def curate(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import curate

    curate.run(settings, options.input or settings.curate.input, options.output)


def validate(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import validate

    validate.run(settings, options.input, options.output)


def pretrain(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import pretrain

    pretrain.run("pretrain", settings, options.input, options.output, options.start_from)


def pretrain_long(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import pretrain

    pretrain.run("pretrain_long", settings, options.input, options.output, options.start_from)


def features(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import features

    features.run(options.benchmark, settings, options.encoder)


def probe(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import probe

    probe.run(options.benchmark, settings)


def report(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import report

    report.run(settings)


def ui(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.tracking import serve_ui

    serve_ui(settings, options.port)


def parser() -> argparse.ArgumentParser:
    """The command line, as data: verb, function, what it does, its options."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="the file of settings"
    )
    common.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one setting for this call; may be repeated",
    )
    top = argparse.ArgumentParser(
        prog="unisurg", description="A foundation model for surgical video, and the path to it."
    )
    top.add_argument("--version", action="version", version=f"unisurg {__version__}")
    verbs = top.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, function: Verb, help: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help, description=help, parents=[common])
        sub.set_defaults(function=function)
        return sub

    sub = verb("curate", curate, "raw recordings -> clips, manifest.parquet, quarantine.csv")
    sub.add_argument("--input", type=Path, help="folder of raw recordings [curate.input]")
    sub.add_argument("--output", type=Path, default=Path("artifacts/corpus"))
    sub = verb("validate", validate, "check a curated corpus; a broken rule is an error")
    sub.add_argument("--input", type=Path, default=Path("artifacts/corpus"))
    sub.add_argument("--output", type=Path, default=Path("artifacts/validation"))
    sub = verb("pretrain", pretrain, "curated corpus -> encoder (stage 1)")
    _pretraining_options(sub, "pretrain", start_from=None)
    sub = verb("pretrain_long", pretrain_long, "stage 2: longer clips, from stage 1's weights")
    _pretraining_options(sub, "pretrain_long", Path("artifacts/pretrain/encoder"))
    sub = verb("features", features, "frozen features of one benchmark, computed once")
    sub.add_argument("benchmark")
    sub.add_argument("--encoder", type=Path, default=Path("artifacts/pretrain_long/encoder"))
    sub = verb("probe", probe, "train and test the probe of one benchmark")
    sub.add_argument("benchmark")
    verb("report", report, "everything on one page: reports/index.html")
    sub = verb("synthesize", synthesize, "render the embedded theatre in the official layouts")
    sub.add_argument("--output", type=Path, required=True)
    sub = verb("ui", ui, "open the MLflow pages on the runs of this checkout")
    sub.add_argument("--port", type=int, default=5000)
    return top


def _pretraining_options(sub: argparse.ArgumentParser, stage: str, start_from: Path | None) -> None:
    sub.add_argument("--input", type=Path, default=Path("artifacts/corpus"), help="curated corpus")
    sub.add_argument("--output", type=Path, default=Path("artifacts") / stage)
    sub.add_argument(
        "--start-from", type=Path, default=start_from, help="folder of an encoder to start from"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; errors that a person can mend are one message, not a traceback."""
    telemetry.switch_off()
    options = parser().parse_args(arguments)
    try:
        options.function(options, load(options.params, options.set))
    except KeyboardInterrupt:
        print("unisurg: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        if type(error).__module__.startswith("unisurg") or isinstance(error, OSError):
            print(f"unisurg: {error}", file=sys.stderr)
            return 1
        raise
    return 0
