"""Tables for the terminal; in Markdown when printed elsewhere, ready for a README."""

import statistics

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cases import parse
from bench.figures import Contest, group, largest, median, quartiles, ratio, spread
from bench.peers import OURS

MISSING = "–"
MOVED = 0.05  # Share that a comparison passes over.
BUSY = 0.02  # Share of the machine that other programs may use unmentioned.


def make_console():
    """Make the console that everything is printed on."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 400  # No line of a Markdown table may break.
    return console


def short(case):
    """Write a case's name without what is usual."""
    return case.replace(":axis=-1", "").replace(":", " ")


def table(console, title, *columns):
    """Make an empty table: its first column to the left, the others to the right."""
    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if console.is_terminal else box.MARKDOWN,
    )
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left")
    return made


def micro(seconds):
    """Write a time in microseconds, with three digits."""
    value = seconds * 1e6
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def times(factor):
    """Write a ratio."""
    if factor is None:
        return MISSING
    return (
        f"{factor:.2f}×" if 0.095 <= factor < 99.5 else f"{factor:.0f}×" if factor > 1 else f"{factor:.2g}×"
    )


def moved(factor):
    """Write a change: in percent, or as a ratio where that would be a long number."""
    return f"{factor - 1:+.0%}" if 0.1 < factor < 10 else times(factor)


def time_of(record):
    """Write a record's median, in microseconds."""
    return micro(median(record)) if record else MISSING


def show(console, results):
    """Print all that was measured.

    Parameters
    ----------
    console : rich.console.Console
    results : dict
        As `bench.__main__` collects and saves them.
    """
    show_machine(console, results)
    if results["digits"]:
        show_digits(console, results["digits"])
    own = [record for record in results["speed"] if record["form"] == "own"]
    for (name, threads), records in group(own, "set", "threads").items():
        if name == "sweep":
            show_sweep(console, threads, records)
        else:
            show_speed(console, name, threads, records)
    show_form(console, results["speed"], "numpy", "What a NumPy user pays: arrays in, arrays out")
    show_form(console, results["speed"], "out", "Into a result that exists")
    show_scaling(console, own)
    if results["accuracy"]:
        show_accuracy(console, results["accuracy"])
    if results.get("company"):
        show_company(console, results["company"])
    show_troubles(console, results)


def show_company(console, records):
    """Print what calls take in company: with one thread, and with more against that."""
    first = records[0]
    loops, processes, pause = first["busy"], first["processes"], 1e6 * first["gap"]
    title = f"{loops} busy loops, {processes} processes, pauses of {pause:g} µs; times in µs"
    columns = ("mean", "median", "99 %", "mean / 1 thread", "99 % / 1 thread")
    made = table(console, title, "", "threads", *columns)
    one = {(r["case"], r["peer"]): r for r in records if r["threads"] == 1 and not r["error"]}
    for record in records:
        cells = [f"{short(record['case'])} {record['peer']}", str(record["threads"])]
        if record["error"]:
            made.add_row(*cells, record["error"])
            continue
        base = one.get((record["case"], record["peer"]), {})
        cells += [micro(record[key]) for key in ("mean", "median", "p99")]
        cells += [times(record[key] / base[key] if base else None) for key in ("mean", "p99")]
        made.add_row(*cells)
    console.print(made)


def show_machine(console, results):
    """Print where this was measured."""
    machine = results["environment"]
    versions = {peer["peer"]: peer["version"] for peer in results["peers"] if "version" in peer}
    console.print(f"{machine['cpu']}, {machine['cpus']} CPUs; {machine['system']}")
    console.print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for peer in results["peers"]:
        if peer["peer"] == OURS and peer.get("config"):
            config = peer["config"]
            console.print(f"softmax_ext: {config.get('isa')}, {plural(peer['threads'])}")
    if warning := warn_of_others(machine):
        console.print(warning)
    console.print()


def warn_of_others(machine):
    """Say that other programs were busy, if they were; else nothing."""
    others = machine.get("others") or 0
    return (
        f"Other programs used {others:.0%} of the machine: do not trust these figures."
        if others > BUSY
        else ""
    )


def show_digits(console, records):
    """Print the training on digits."""
    made = table(
        console,
        "Logistic regression on handwritten digits",
        "library", "threads", "loss", "test accuracy", "training, ms", "in softmax, ms",
    )  # fmt: skip
    for record in records:
        trainings = record["trainings"]
        if not trainings:
            continue
        last = trainings[-1]
        middle = sorted(trainings, key=lambda training: training["seconds"])[len(trainings) // 2]
        made.add_row(
            record["peer"],
            str(record["threads"]),
            f"{last['loss']:.6f}",
            f"{last['accuracy']:.1%}",
            f"{middle['seconds'] * 1e3:.0f}",
            f"{middle['inside'] * 1e3:.0f}",
        )
    console.print(made)


def show_speed(console, name, threads, records):
    """Print the cases of a set."""
    made = table(
        console,
        f"Speed, µs a call, {plural(threads)} ({name})",
        "case", OURS, "±", "peers, fastest first", "np.exp", "roof", "fastest / ours",
        "np.exp / ours", "ours / roof", "goal",
    )  # fmt: skip
    made.columns[3].justify = "left"
    for (case,), of_case in group(records, "case").items():
        contest = Contest(of_case)
        to_roof = contest.ratio(contest.roof)
        fastest = contest.ratio(contest.peers[0]) if contest.peers else None
        made.add_row(
            short(case),
            time_of(contest.ours),
            f"{spread(contest.ours):.0%}" if contest.ours else MISSING,
            ", ".join(f"{peer['peer']} {time_of(peer)}" for peer in contest.peers) or MISSING,
            time_of(contest.exp),
            time_of(contest.roof),
            times(fastest),
            times(contest.ratio(contest.exp)),
            times(to_roof and 1 / to_roof),
            {True: "yes", False: "no", None: MISSING}[contest.reached()],
        )
    console.print(made)


def show_form(console, records, form, title):
    """Print how another form of calling compares with a peer's own."""
    made = table(console, f"{title}, µs a call", "case", "peer", "threads", "so", "own", "so / own")
    for (case, peer, threads), both in group(records, "case", "peer", "threads").items():
        of_form = {record["form"]: record for record in both if record["seconds"]}
        if form in of_form and "own" in of_form:
            other, own = of_form[form], of_form["own"]
            factor = times(ratio(other, own))
            made.add_row(short(case), peer, str(threads), time_of(other), time_of(own), factor)
    if made.row_count:
        console.print(made)


def show_sweep(console, threads, records):
    """Print the time of an element against the length of its row."""
    first = parse(records[0]["case"])
    made = table(
        console,
        f"{first.op} of {first.dtype}, ns an element by row length, {plural(threads)}",
        "length", OURS, "/ length before", "fastest peer", "roof", "fastest / ours",
    )  # fmt: skip

    def element(record):
        if record is None:
            return MISSING
        return f"{median(record) * 1e9 / parse(record['case']).size:.3f}"

    before = None
    for (case,), of_case in group(records, "case").items():
        contest = Contest(of_case)
        fastest = contest.peers[0] if contest.peers else None
        now = contest.ours and median(contest.ours) / parse(case).size
        made.add_row(
            str(parse(case).shape[-1]),
            element(contest.ours),
            times(now / before if now and before else None),
            f"{fastest['peer']} {element(fastest)}" if fastest else MISSING,
            element(contest.roof),
            times(contest.ratio(fastest)),
        )
        before = now
    console.print(made)


def show_scaling(console, records):
    """Print how each peer gains by threads, if several numbers of them were measured."""
    counts = sorted({record["threads"] for record in records})
    if len(counts) < 2:
        return
    few = counts[0]
    made = table(
        console,
        f"Speed by threads, as multiples of {plural(few)}",
        "case", "peer", f"{plural(few)}, µs", *map(plural, counts[1:]),
    )  # fmt: skip
    for (case, peer), of_peer in group(records, "case", "peer").items():
        by_count = {record["threads"]: record for record in of_peer if record["seconds"]}
        if few in by_count:
            base = by_count[few]
            gains = [times(ratio(base, by_count[n])) if n in by_count else MISSING for n in counts[1:]]
            made.add_row(short(case), peer, time_of(base), *gains)
    console.print(made)


def show_accuracy(console, records):
    """Print the largest errors, by how wide the logits range."""
    for (op, dtype, unit), of_op in group(records, "op", "dtype", "unit").items():
        made = table(console, f"Largest error of {op}, {dtype}, in {unit}", "peer")
        for (peer,), of_peer in group(of_op, "peer").items():
            found = largest(of_peer)
            for scale, offset in found if len(made.columns) == 1 else ():
                made.add_column(f"N({offset:g}, {scale:g}²)", justify="right")
            if found:
                made.add_row(peer, *map(error, found.values()))
        console.print(made)


def error(value):
    """Write an error, in units."""
    return f"{value:.2f}" if value < 99.995 else f"{value:.3g}"


def show_comparison(console, old, new):
    """Print what moved since an earlier run, beyond the noise.

    A time has moved if its quartiles lie outside those of the other run, and it is off by more than
    `MOVED`, both after the drift that all peers share is taken out.
    """
    for key in ("cpu", "cpus", "governor", "system", "python", "variables"):
        before, now = old["environment"].get(key), new["environment"].get(key)
        if before != now:
            console.print(f"{key} was {before}, is {now}", markup=False)
    versions = [{p["peer"]: p.get("version") for p in run["peers"]} for run in (old, new)]
    for name, version in versions[1].items():
        if versions[0].get(name) != version:
            console.print(f"{name} was {versions[0].get(name)}, is {version}", markup=False)

    keys = ("case", "threads", "peer", "form")
    timed = [[r for r in run["speed"] if r["seconds"]] for run in (old, new)]
    before, now = (group(records, *keys) for records in timed)
    common = [(key, before[key][0], now[key][0]) for key in now if key in before]
    peers = [median(b) / median(a) for key, a, b in common if key[2] != OURS]
    drift = statistics.median(peers) if peers else 1.0
    made = table(
        console,
        f"What moved, of {len(common)} times; {times(drift)} shared by all peers is taken out",
        "case", "peer", "threads", "form", "before, µs", "now, µs", "change",
    )  # fmt: skip
    for key, a, b in common:
        change = median(b) / median(a) / drift
        (low_a, high_a), (low_b, high_b) = quartiles(a), quartiles(b)
        apart = low_b / drift > high_a or high_b / drift < low_a
        if apart and not 1 / (1 + MOVED) < change < 1 + MOVED:
            case, threads, peer, form = key
            cells = short(case), peer, str(threads), form, time_of(a), time_of(b), moved(change)
            made.add_row(*cells, style="bold" if peer == OURS else None)
    console.print(made)


def show_troubles(console, results):
    """Print who did not take part, and what failed, a line each."""
    # A peer is asked once for each number of threads.
    for line in dict.fromkeys(f"{p['peer']}: {p['absent']}" for p in results["peers"] if "absent" in p):
        console.print(line, markup=False)
    for record in results["speed"] + results["digits"] + results["accuracy"]:
        if record.get("error"):
            where = record.get("case") or record.get("op", "digits")
            console.print(f"{record['peer']}, {where}: {record['error']}", markup=False)


def plural(threads):
    """Write a number of threads."""
    return f"{threads} thread" + ("s" if threads > 1 else "")
