"""The command line: ``python -m bench --help``."""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import cases, environment, report
from bench.company import Company
from bench.peers import PEERS
from bench.rounds import Rounds


def main():
    """Measure what the command line asks for; print, save and draw it.

    Returns
    -------
    int
        Exit status: 130 after Ctrl-C.
    """
    options = read_options()
    console = report.make_console()
    # Being told to end is Ctrl-C by another name.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    complete = True
    if options.load:
        results = options.load
    else:
        results = {"environment": environment.describe(), "command": sys.argv[1:]}
        complete = measure(options, results, console)
    report.show(console, results)
    if options.compare:
        report.show_comparison(console, options.compare, results)
    if not complete:
        console.print("Interrupted: this is what was measured so far.")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if options.plot:
        from bench import plots  # Only here: importing matplotlib takes a second.

        if not plots.draw(results, options.plot, options.theme):
            console.print("Nothing was measured that can be drawn.")
    return 0 if complete else 130


def measure(options, results, console):
    """Measure all the sets, adding to `results` as it goes.

    Parameters
    ----------
    options : argparse.Namespace
    results : dict
    console : rich.console.Console

    Returns
    -------
    bool
        False if Ctrl-C has ended it early.
    """
    # Drawn by `tick` alone, between turns: a thread that draws would disturb what is measured.
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
    )
    task = progress.add_task("starting", total=1)
    drawn = 0.0

    def tick(description, cost):
        nonlocal drawn
        progress.update(task, description=description, advance=cost)
        if time.monotonic() - drawn > 0.2:
            progress.refresh()
            drawn = time.monotonic()

    if options.in_company:
        company = Company(options.peers, options.threads, options.timeout, options.rounds, tick)
        results |= {"peers": [], "digits": [], "accuracy": [], "speed": [], "company": company.records}
        try:
            with progress, company:
                total = sum(company.cost() for _, members in options.sets for _ in members)
                progress.update(task, total=total)
                for _, members in options.sets:
                    for case in members:
                        company.measure(case, options.busy, options.processes, options.gap * 1e-6)
        except KeyboardInterrupt:
            return False
        return True

    rounds = Rounds(options.peers, options.threads, options.timeout, options.rounds, tick)
    results |= rounds.results
    bystanders = environment.Bystanders()
    try:
        with progress, rounds:
            progress.update(task, total=rounds.cost_of_start())
            rounds.start()
            total = sum(rounds.cost_of(case) for _, members in options.sets for case in members)
            total += rounds.cost_of_training() * options.quick
            total += rounds.cost_of_judging() * options.accuracy
            progress.reset(task, total=total)
            if options.quick:
                rounds.train()
            if options.accuracy:
                rounds.judge()
            for name, members in options.sets:
                for case in members:
                    # A sweep asks about lengths; from where the arrays come does not matter there.
                    forms = ["own"] + ["numpy"] * (name not in ("quick", "sweep")) + ["out"] * options.out
                    rounds.measure(name, case, forms)
    except KeyboardInterrupt:
        return False
    finally:
        results["environment"]["others"] = bystanders.share()
    return True


def read_options():
    """Read the command line; end with a message if it makes no sense.

    Returns
    -------
    argparse.Namespace
        With ``sets``, a list of names and their cases, beside the options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure softmax_ext beside other libraries. Without a set, --quick is meant.",
    )
    add = parser.add_argument_group("what is measured").add_argument
    add("--quick", action="store_true", help="training on digits, and a dozen cases; a minute")
    add(
        "--cells",
        nargs="*",
        metavar="PREFIX",
        help="all operations, types and shapes; or those whose names begin so; a quarter of an hour",
    )
    add(
        "--case",
        action="append",
        default=[],
        metavar="NAME",
        help="one case, as softmax:float32:128x1000:axis=-1, with :wide for wide logits, or :masked; repeatable",
    )
    add(
        "--sweep",
        nargs="?",
        const="softmax:float32",
        metavar="OP:DTYPE",
        help="fifty row lengths from 1 to 8192 (softmax:float32)",
    )
    add("--overhead", action="store_true", help="arrays of one element: the price of a call")
    add("--accuracy", action="store_true", help="largest errors on the same rows")
    add("--out", action="store_true", help="also time calls into a result that exists")

    add = parser.add_argument_group("how").add_argument
    add("--peers", type=words, default=list(PEERS), metavar="A,B", help=f"of {', '.join(PEERS)}")
    add(
        "--threads",
        type=words,
        default=[len(environment.usable_cpus())],
        metavar="N,M",
        help="numbers of threads, side by side (%(default)s)",
    )
    add("--busy", type=int, default=0, metavar="N", help="beside so many loops that keep a CPU busy each")
    add("--processes", type=int, default=1, metavar="N", help="so many copies of each peer at once")
    add("--gap", type=float, default=0, metavar="US", help="microseconds of sleep between calls")
    add("--rounds", type=int, default=5, help="turns that each peer gets in a case (%(default)s)")
    add("--timeout", type=float, default=120, help="seconds to wait for a peer (%(default)s)")

    add = parser.add_argument_group("what comes out").add_argument
    add("--json", type=Path, metavar="FILE", help="save everything")
    add("--plot", type=Path, metavar="FILE", help="draw it: .png or .svg")
    add("--theme", choices=["light", "dark"], default="light", help="of the plot (%(default)s)")
    add("--compare", type=Path, metavar="FILE", help="show what moved since a saved run")
    add("--load", type=Path, metavar="FILE", help="measure nothing; show a saved run")
    options = parser.parse_args()
    try:
        check(options)
    except ValueError as error:
        parser.error(str(error))
    return options


def words(text):
    """Split at commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def read_run(path):
    """Read a saved run, if a file is named; raise ValueError if it is none."""
    if path is None:
        return None
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        run = None
    parts = {"environment": dict, "peers": list, "speed": list, "digits": list, "accuracy": list}
    if not isinstance(run, dict) or not all(isinstance(run.get(name), kind) for name, kind in parts.items()):
        raise ValueError(f"{path} is no run that --json has saved")
    return run


def check(options):
    """Raise ValueError for options that make no sense; fill in ``sets``."""
    for peer in options.peers:
        if peer not in PEERS:
            raise ValueError(f"unknown peer {peer!r}; known: {', '.join(PEERS)}")
    try:
        options.threads = [int(count) for count in options.threads]
    except ValueError:
        options.threads = [0]
    if min(options.threads, default=0) < 1:
        raise ValueError("--threads takes numbers from 1 up, with commas between them")
    if options.rounds < 1:
        raise ValueError("--rounds takes a number from 1 up")
    if not options.timeout > 0:
        raise ValueError("--timeout takes a number of seconds above 0")
    if options.busy < 0 or options.processes < 1 or options.gap < 0:
        raise ValueError("--busy and --gap take numbers from 0 up, --processes from 1 up")
    options.in_company = options.busy > 0 or options.processes > 1 or options.gap > 0
    if options.in_company and (options.accuracy or options.out or options.plot):
        raise ValueError(
            "--busy, --processes and --gap only time calls: no --accuracy, --out or --plot with them"
        )
    options.load, options.compare = map(read_run, (options.load, options.compare))
    for path in (options.json, options.plot):
        if path and not path.resolve().parent.is_dir():
            raise ValueError(f"there is no folder for {path}")
    if options.plot and options.plot.suffix not in (".png", ".svg"):
        raise ValueError(f"--plot takes a .png or an .svg, not {options.plot}")

    named = [options.cells is not None, options.case, options.sweep, options.overhead]
    if not any([*named, options.accuracy]):
        options.quick = True
    sets = [
        ("quick", cases.QUICK if options.quick else []),
        ("cells", cases.begin_with(options.cells) if options.cells is not None else []),
        ("case", [cases.parse(name) for name in options.case]),
        ("sweep", cases.sweep(options.sweep) if options.sweep else []),
        ("overhead", cases.OVERHEAD if options.overhead else []),
    ]
    options.sets = [(name, members) for name, members in sets if members]


if __name__ == "__main__":
    sys.exit(main())
