"""`unisurg <verb>`: one verb per stage of the DAG, and a few for people.

Without options a stage reads and writes the paths that dvc.yaml names; with `--input`/`--output`
the same code runs on any folder. Each verb imports what it needs when it is called.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from unisurg import __version__, telemetry
from unisurg.attempts import attempt
from unisurg.settings import Settings, load

Verb = Callable[[argparse.Namespace, Settings], None]
AddVerb = Callable[[str, Verb, str], argparse.ArgumentParser]


def synthesize(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.synthetic.layouts import write

    write(options.output, settings.theatre, settings.seed, options.layout)


def curate(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import curate

    curate.run(settings, options.input or settings.curate.input, options.output)


def scan(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import scan

    scan.run(settings, options.input or settings.curate.input, options.home)


def deidentify(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import deidentify

    deidentify.run(settings, options.input or settings.curate.input, options.home)


def clean(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import clean

    clean.run(settings, options.home)


def dedup(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import dedup

    dedup.run(settings, options.home)


def leak(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import leak

    leak.run(settings, options.input or settings.curate.input, options.home)


def corpus(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import corpus

    corpus.run(settings, options.home)


def intake(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import intake

    intake.run(settings, options.folder, options.output)


def recordings(options: argparse.Namespace, settings: None) -> None:
    from unisurg.stages import recordings

    print(recordings.told_of(options.id, options.corpus))


def leaks(options: argparse.Namespace, settings: None) -> None:
    from unisurg.stages import leaks

    of_index = options.benchmark, options.root, options.split, options.output
    if options.case == "index":
        if options.benchmark is None:
            options.wrong("index needs the name of a benchmark")
        leaks.index(load(options.settings_file), *of_index)
    elif of_index == (None, None, None, None):
        print(leaks.evidence(options.case, options.folder))
    else:
        options.wrong("one CASE; BENCHMARK, --root, --split and --output belong to `index`")


def sources(options: argparse.Namespace, settings: None) -> None:
    from unisurg.stages import sources

    print(sources.list_sources(options.extra, options.extra_overlaps, options.json))


def balance(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import balance

    balance.run(settings, options.input, options.output)


def validate(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import validate

    validate.run(settings, options.home, options.output)


def shards(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import shards

    shards.run(settings, options.input, options.output)


def pretrain(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import pretrain

    pretrain.run("pretrain", settings, options.input, options.output, options.start_from)


def pretrain_long(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import pretrain

    pretrain.run("pretrain_long", settings, options.input, options.output, options.start_from)


def tune(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import tune

    tune.run(settings, options.input, options.output, options.trials)


def features(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import features

    settings.require_block(options.benchmark)
    with attempt(f"features@{options.benchmark}"):
        features.run(options.benchmark, settings, options.encoder)


def probe(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import probe

    settings.require_block(options.benchmark)
    with attempt(f"probe@{options.benchmark}"):
        probe.run(options.benchmark, settings)


def folds(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import folds

    settings.require_block(options.benchmark)
    folds.run(options.benchmark, options.family, settings, options.encoder)


def finetune(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import finetune

    settings.require_block(options.benchmark)
    with attempt(f"finetune@{options.benchmark}"):
        finetune.run(options.benchmark, settings, options.encoder)


def package(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import package

    package.run(settings, options.output)


def predict(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import predict

    predict.run(settings, options.video, options.model, options.output)


def promote(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import promote

    promote.promote(settings, options.output)


def rollback(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import promote

    promote.rollback(settings)


def models(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import promote

    promote.models(settings)


def lineage(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import lineage

    lineage.run(settings, options.target)


def compare(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import compare

    compare.run(
        settings,
        options.benchmark,
        options.metric,
        options.reference,
        options.kind,
        options.json,
    )


def neutrality(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import neutrality

    neutrality.run(settings, options.benchmarks, options.encoder, options.output)


def report(options: argparse.Namespace, settings: Settings) -> None:
    from unisurg.stages import report

    report.run(settings)


def weights_import(options: argparse.Namespace, settings: None) -> None:
    from unisurg.stages import weights

    weights.import_weights(
        options.source,
        options.output,
        options.which,
        options.heads,
        options.predictor_heads,
        options.rotary_dtype,
        options.encoder_only,
    )


def weights_export(options: argparse.Namespace, settings: None) -> None:
    from unisurg.stages import weights

    weights.export_weights(
        options.folder, options.output, options.format, options.size_px, options.frames
    )


def weights_inspect(options: argparse.Namespace, settings: None) -> None:
    from unisurg.stages import weights

    print(weights.inspect_weights(options.path, options.heads))


def benchmarks_list(options: argparse.Namespace, settings: None) -> None:
    from unisurg.stages import benchmarks

    print(benchmarks.list_benchmarks(options.json))


def benchmarks_check(options: argparse.Namespace, settings: None) -> None:
    from unisurg.stages import benchmarks

    benchmarks.run_check(
        options.name, options.root, options.split, options.settings_file, options.json
    )


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

    _curating_verbs(verb)
    _facts_verbs(verbs)
    _stage_verbs(verb)
    _comparing_verbs(verb)
    _model_verbs(verb)
    verb("report", report, "everything on one page: reports/index.html")
    sub = verb("synthesize", synthesize, "render the embedded theatre in the official layouts")
    sub.add_argument("--output", type=Path, required=True)
    help = "corpus, polyps, or a benchmark's name; several [all]"
    sub.add_argument("--layout", nargs="+", default=(), metavar="NAME", help=help)
    _weights_verbs(verbs)
    _benchmarks_verbs(verbs)
    sub = verb("ui", ui, "open the MLflow pages on the runs of this checkout")
    sub.add_argument("--port", type=int, default=5000)
    return top


def _stage_verbs(verb: AddVerb) -> None:
    """The stages of the graph, and those beside it that train."""
    sub = verb("validate", validate, "check all tables of curation; a broken rule is an error")
    help = "folder of all stages' folders"
    sub.add_argument("--home", type=Path, default=Path("artifacts"), help=help)
    sub.add_argument("--output", type=Path, default=Path("artifacts/validation"))
    sub = verb("balance", balance, "how often pretraining will see the clips of each data set")
    sub.add_argument("--input", type=Path, default=Path("artifacts/corpus"))
    sub.add_argument("--output", type=Path, default=Path("artifacts/balance"))
    sub = verb("shards", shards, "curated corpus -> the store that pretraining reads")
    sub.add_argument("--input", type=Path, default=Path("artifacts/corpus"))
    sub.add_argument("--output", type=Path, default=Path("artifacts/shards"))
    sub = verb("pretrain", pretrain, "shards, or a curated corpus -> encoder (stage 1)")
    _pretraining_options(sub, "pretrain", start_from=None)
    sub = verb("pretrain_long", pretrain_long, "stage 2: longer clips, from stage 1's weights")
    _pretraining_options(sub, "pretrain_long", Path("artifacts/pretrain/encoder"))
    sub = verb("tune", tune, "short trials of masks and motion settings, judged on validation")
    sub.add_argument("--input", type=Path, default=Path("artifacts/shards"), help="as of pretrain")
    sub.add_argument("--output", type=Path, default=Path("artifacts/tune"), help="[artifacts/tune]")
    sub.add_argument("--trials", type=_count, help="in all, those of before included [tune.trials]")
    sub = verb("features", features, "frozen features of one benchmark, computed once")
    sub.add_argument("benchmark")
    sub.add_argument("--encoder", type=Path, default=Path("artifacts/pretrain_long/encoder"))
    sub = verb("probe", probe, "train and test the probe of one benchmark")
    sub.add_argument("benchmark")
    sub = verb("folds", folds, "probe every fold of a cross-validation, and measure all together")
    sub.add_argument("benchmark", help="a block of params.yaml")
    sub.add_argument("family", help="what the names of its folds begin with, as `louo` of louo-B")
    sub.add_argument("--encoder", type=Path, default=Path("artifacts/pretrain_long/encoder"))
    sub = verb("finetune", finetune, "train the whole encoder on one benchmark, and test it")
    sub.add_argument("benchmark")
    sub.add_argument("--encoder", type=Path, default=Path("artifacts/pretrain_long/encoder"))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on")
    return int(text)


def _model_verbs(verb: AddVerb) -> None:
    """The packaged model, the registry, and where numbers come from."""
    sub = verb("package", package, "the encoder with the head that one probe chose, in one folder")
    sub.add_argument("--output", type=Path, default=Path("artifacts/package"))
    sub = verb("predict", predict, "a new video -> its phases, second by second")
    sub.add_argument("video", type=Path)
    help = (
        "a package's folder, or a registered model as models:/unisurg@champion [artifacts/package]"
    )
    sub.add_argument("--model", default="artifacts/package", help=help)
    sub.add_argument("--output", type=Path, help="a CSV file [standard output]")
    sub = verb(
        "promote", promote, "hold this checkout's model against the champion; promote or not"
    )
    sub.add_argument("--output", type=Path, help="the decision as JSON; beside it as a page, .md")
    verb("rollback", rollback, "make the version champion again that was it before")
    verb("models", models, "the registered versions, their aliases and numbers")
    sub = verb(
        "lineage", lineage, "number -> run -> commit -> parameters -> data; 1 if a link lacks"
    )
    help = "a metric file, reports/results.json, a run's id, or a version: 3, champion, models:/..."
    sub.add_argument("target", help=help)


def _curating_verbs(verb: AddVerb) -> None:
    """The path from recordings to a corpus, in one go and stage by stage."""
    sub = verb("curate", curate, "raw recordings -> a corpus: all stages up to `corpus` in one go")
    sub.add_argument("--input", type=Path, help="folder of raw recordings [curate.input]")
    sub.add_argument("--output", type=Path, required=True, help="folder of the corpus")
    stages = (
        ("scan", scan, "raw recordings -> clips, frames, shots, medians; not de-identified", True),
        ("deidentify", deidentify, "what is painted, what is cut out, who is refused", True),
        ("clean", clean, "what became of every second: kept, black, frozen, ...", False),
        ("dedup", dedup, "footage that is there twice is kept once", False),
        ("leak", leak, "operations that benchmarks validate or test on go", True),
        ("corpus", corpus, "what is kept -> clean clips, manifest.parquet, quarantine.csv", False),
    )
    for name, function, help, reads_raw in stages:
        sub = verb(name, function, help)
        sub.add_argument(
            "--home", type=Path, default=Path("artifacts"), help="folder of all stages' folders"
        )
        if reads_raw:
            sub.add_argument("--input", type=Path, help="folder of raw recordings [curate.input]")
    sub = verb("intake", intake, "which recordings of a folder can be read: a look, not yet a scan")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--output", type=Path, required=True, help="a JSON of what was found")


def _facts_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What is known of recordings, sources and leaks; these need no settings."""
    help = "which file a recording is and what became of it, where the raw names are kept"
    sub = verbs.add_parser("recordings", help=help, description=help)
    sub.set_defaults(function=recordings)
    sub.add_argument("id", nargs="?", help="of a recording, a video or a clip [all]")
    folder = "a corpus, or what the stage `scan` wrote [artifacts/corpus]"
    sub.add_argument("--corpus", type=Path, default=Path("artifacts/corpus"), help=folder)
    help = "sources of recordings, and which benchmarks they may leak into"
    sub = verbs.add_parser("sources", help=help, description=help)
    sub.set_defaults(function=sources)
    sub.add_argument("--extra", type=Path, help="a file of your own sources beside ours")
    sub.add_argument("--extra-overlaps", type=Path, help="a file of your own overlaps beside ours")
    sub.add_argument("--json", action="store_true", help="every field, as JSON")
    help = "why a case is out of the corpus, or what it rests on that it is not"
    index = "`leaks index BENCHMARK` makes the index by which a benchmark is found by content."
    sub = verbs.add_parser("leaks", help=help, description=f"{help}. {index}")
    sub.set_defaults(function=leaks, wrong=sub.error)
    what = "a video, a procedure, a benchmark, BENCHMARK/CASE; or `index` [what was checked at all]"
    sub.add_argument("case", nargs="?", help=what)
    sub.add_argument("benchmark", nargs="?", help="index: its name")
    folder = "a corpus, or what the stage `leak` wrote [artifacts/leak]"
    sub.add_argument(
        "--corpus", "--folder", dest="folder", type=Path, default="artifacts/leak", help=folder
    )
    sub.add_argument("--root", type=Path, help="index: the copy [root of its block in params.yaml]")
    sub.add_argument("--split", help="index: one split [all of the owners']")
    sub.add_argument("--output", type=Path, help="index: folder of indices [leaks.indices]")
    sub.add_argument(
        "--params", dest="settings_file", type=Path, default=Path("params.yaml"), help="for index"
    )


def _pretraining_options(sub: argparse.ArgumentParser, stage: str, start_from: Path | None) -> None:
    sub.add_argument(
        "--input",
        type=Path,
        default=Path("artifacts/shards"),
        help="shards, or a curated corpus [artifacts/shards]",
    )
    sub.add_argument(
        "--output", type=Path, default=Path("artifacts") / stage, help=f"[artifacts/{stage}]"
    )
    sub.add_argument(
        "--start-from",
        type=Path,
        default=start_from,
        help="weights to start from: an encoder's folder, a published file, a run's checkpoint",
    )


def _comparing_verbs(verb: AddVerb) -> None:
    sub = verb("compare", compare, "encoders side by side, with paired intervals")
    sub.add_argument("--benchmark", metavar="NAME", help="[all that have results, a line each]")
    sub.add_argument("--metric", metavar="NAME", help="exact name [the benchmark's main metric]")
    sub.add_argument("--reference", metavar="ENCODER", default="pretrained", help="[pretrained]")
    sub.add_argument("--kind", metavar="NAME", help="of head [the main one]")
    sub.add_argument("--json", action="store_true", help="as JSON")
    help = "may the protocol `fast` stand in for `dense` during development?"
    sub = verb("neutrality", neutrality, help)
    sub.add_argument(
        "--benchmarks", nargs="+", metavar="NAME", help="two or more [cholec80 autolaparo]"
    )
    sub.add_argument("--encoder", type=Path, default=Path("artifacts/pretrain_long/encoder"))
    sub.add_argument("--output", type=Path, help="a JSON of all that was measured")


def _weights_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Weights in and out; these need no settings."""
    help = "take published weights in, hand ours out, look at any"
    group = verbs.add_parser("weights", help=help, description=help)
    actions = group.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, function: Callable[..., None], help: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=help, description=help)
        sub.set_defaults(function=function)
        return sub

    heads = "of the encoder's attention, where a .pt is of a size without a name"
    sub = action("import", weights_import, "V-JEPA 2's or SurgMotion's weights -> our folder")
    sub.add_argument("source", type=Path, help="a .pt, or a folder of transformers")
    sub.add_argument("--output", type=Path, required=True)
    sub.add_argument(
        "--which",
        choices=["target_encoder", "encoder"],
        help="which encoder of a .pt [target_encoder where there is one]",
    )
    sub.add_argument("--heads", type=int, help=heads)
    sub.add_argument("--predictor-heads", type=int, help="likewise, of the predictor's")
    sub.add_argument("--encoder-only", action="store_true", help="leave the predictor out")
    sub.add_argument(
        "--rotary-dtype",
        choices=["float32", "bfloat16"],
        default="float32",
        help="in which the frequencies of positions are built [float32]",
    )
    sub = action("export", weights_export, "our folder -> the layout of others")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--format", choices=["transformers", "vjepa2"], required=True)
    sub.add_argument("--output", type=Path, required=True, help="a folder, or for vjepa2 a .pt")
    sub.add_argument("--size-px", type=int, help="transformers: side of the pictures to come")
    sub.add_argument("--frames", type=int, help="transformers: of the clips to come")
    sub = action("inspect", weights_inspect, "what is in a folder or file of weights")
    sub.add_argument("path", type=Path)
    sub.add_argument("--heads", type=int, help=heads)


def _benchmarks_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The data sets to probe on; a copy elsewhere needs no settings."""
    help = "which benchmarks there are, and whether a copy of one can be used"
    group = verbs.add_parser("benchmarks", help=help, description=help)
    actions = group.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, function: Callable[..., None], help: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=help, description=help)
        sub.set_defaults(function=function)
        sub.add_argument("--json", action="store_true", help="as JSON")
        return sub

    action("list", benchmarks_list, "task, classes, cases, metric, licence, published results")
    sub = action(
        "check", benchmarks_check, "labels, rates and every fault of a copy; 1 if unusable"
    )
    sub.add_argument("name", help="of a benchmark, or any name for your own labels.csv")
    sub.add_argument("--root", type=Path, help="the copy [root of block NAME in params.yaml]")
    sub.add_argument("--split", help="[the block's; with --root the benchmark's first]")
    sub.add_argument(
        "--params", dest="settings_file", type=Path, default=Path("params.yaml"), help="the block's"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; errors that a person can mend are one message, not a traceback."""
    telemetry.switch_off()
    # Threads that wait for work sleep: where they spin, a busy neighbour makes a stage many times
    # slower. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = parser().parse_args(arguments)
    try:
        settings = load(options.params, options.set) if "params" in options else None
        options.function(options, settings)
    except KeyboardInterrupt:
        print("unisurg: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        if type(error).__module__.startswith("unisurg") or isinstance(error, OSError):
            print(f"unisurg: {error}", file=sys.stderr)
            return int(getattr(error, "exit_status", 1))
        raise
    return 0
