#!/usr/bin/env python3
"""Makes tables and a picture of the rows that run.sh and scale.sh wrote.

    report.py RESULTS                   a table for the terminal
    report.py RESULTS --publish REPO    REPO/docs/benchmark.md, REPO/docs/benchmark.svg, and the tables of REPO/README.md
                                        between its two benchmark marks

Needs nothing but Python's own library.
"""

import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True  # leaves no folder beside the scripts
from chart import draw  # noqa: E402

TITLES = {
    "tcp1-up": "1 TCP stream up",
    "tcp1-down": "1 TCP stream down",
    "tcp8-up": "8 TCP streams up",
    "tcp8-down": "8 TCP streams down",
    "tcp1-both": "1 stream each way",
    "udp-up": "UDP up, iperf3",
    "udp-down": "UDP down, iperf3",
    "up-tcp-1368": "TCP 1368 B up",
    "up-udp-1380": "UDP 1380 B up",
    "up-udp-64": "UDP 64 B up",
    "down-udp-1380": "UDP 1380 B down",
    "down-udp-64": "UDP 64 B down",
    "ping": "ping, idle",
    "ping-loaded": "ping beside a half-loading download",
}
MARK, END_MARK = "<!-- benchmark: written by tests/bench/run.sh --publish -->", "<!-- end of the benchmark -->"
PINGS = ("ping", "ping-loaded")


def is_flood(test):
    return test.startswith(("up-", "down-"))


class Results:
    """All rows of a run, and what is known about it."""

    def __init__(self, folder):
        self.about, self.versions = {}, {}
        for line in (folder / "about.txt").read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == "version":
                name, _, version = value.partition(" ")
                self.versions[name] = version
            else:
                self.about[key] = value
        self.values = defaultdict(dict)
        for row in read_rows(folder / "rows.txt"):
            self.values[row[1], row[2]][int(row[0])] = [float(value) for value in row[3:]]
        seen = {test for _, test in self.values}
        self.tests = [test for test in self.about.get("tests", "").split() if test in seen]
        self.gateways = [name for name in self.about.get("gateways", "").split() if name in self.versions]
        self.scale = read_rows(folder / "scale.txt")

    def median(self, gateway, test, column):
        """The median over the rounds, or None where the test was not run."""
        rounds = self.values.get((gateway, test), {})
        return median(row[column] for row in rounds.values()) if rounds else None

    def ratio(self, test, column, over):
        """Doorward's share of a peer's value: taken within each round, then the median."""
        ours, theirs = self.values.get(("doorward", test), {}), self.values.get((over, test), {})
        shares = [ours[at][column] / theirs[at][column] for at in ours if at in theirs and theirs[at][column] > 0]
        return median(shares) if shares else None

    def resident(self, gateway):
        """The most memory that was seen after any load, in MiB."""
        rows = [row[2] for (name, test), rounds in self.values.items() if name == gateway and test not in PINGS
                for row in rounds.values()]
        return max(rows) if rows else None


def read_rows(path):
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def number(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def pair(pattern, first, second):
    return "" if first is None or second is None else pattern.format(first, second)


def round_trip(results, name, test):
    lost = results.median(name, test, 2)
    text = pair("{:.0f} ({:.0f})", results.median(name, test, 0), results.median(name, test, 1))
    return f"{text}, {lost:.0f} % lost" if lost and lost >= 0.5 else text


def tables(results, with_scale=True):
    """Yields (title, header, rows) of every table that the run has rows for."""
    names = results.gateways
    share = [f"Doorward ÷ {names[1]}"] if names[:1] == ["doorward"] and len(names) > 1 else []
    peer = names[1] if share else ""

    def table(title, tests, cell, ratio_column):
        rows = []
        for test in tests:
            ratio = results.ratio(test, ratio_column, peer) if share else None
            rows.append([TITLES[test], *(cell(name, test) for name in names), *([number(ratio, 2)] if share else [])])
        return title, ["", *names, *share], rows

    streams = [test for test in results.tests if not is_flood(test) and test not in PINGS]
    floods = [test for test in results.tests if is_flood(test)]
    pings = [test for test in results.tests if test in PINGS]
    if streams:
        yield table("Streams through an ordinary client: gateway CPU-seconds per GiB (Gbit/s)", streams, lambda name, test:
                    pair("{:.2f} ({:.2f})", results.median(name, test, 1), results.median(name, test, 0)), 1)
    if floods:
        yield table("A flooded gateway: thousands of packets a second delivered", floods, lambda name, test:
                    number(results.median(name, test, 0), 0), 0)
        yield table("A flooded gateway: CPU-seconds per GiB of payload (µs a packet)", floods, lambda name, test:
                    pair("{:.2f} ({:.2f})", results.median(name, test, 1), results.median(name, test, 3)), 1)
    if pings:
        yield table("Round trip of a 64-byte ping, µs: p50 (p99)", pings, lambda name, test: round_trip(results, name, test), 0)
    if streams or floods:
        yield "Memory: resident at most, MiB", ["", *names], [
            ["after load", *(number(results.resident(name), 0) for name in names)]]
    if with_scale:
        yield from scale_tables(results.scale)


def scale_tables(rows):
    costs, shakes = defaultdict(lambda: defaultdict(list)), []
    for row in rows:
        if row[0] == "cost":
            _, _, registered, live, rules, way, micros, kpps, idle, loaded = row
            size = (int(registered), int(live), int(rules))
            costs[size][way].append((float(micros), float(kpps), float(idle), float(loaded)))
        else:
            shakes.append([float(value) for value in row[2:]])
    if costs:
        body = []
        for size, ways in costs.items():
            cells = [pair("{:.2f} ({:.0f})", median(c[0] for c in ways[way]), median(c[1] for c in ways[way]))
                     if ways[way] else "" for way in ("up", "down")]
            every = ways["up"] + ways["down"]
            memory = [number(max(c[column] for c in every), 0) for column in (2, 3)]
            body.append([*(f"{part:,}" for part in size), *cells, *memory])
        yield ("Doorward by size: µs a packet (kpps); UDP 1380 B in runs of 4 a device",
               ["registered devices", "live", "rules a person", "up", "down", "MiB idle", "MiB loaded"], body)
    if shakes:
        devices, offered, answered, seconds, micros, _cookies, opened, bound = (median(column) for column in zip(*shakes))
        yield ("Handshakes on one core",
               ["devices", "offered", "answered", "a second", "CPU-µs each", "of which arithmetic", "devices whose last was opened"],
               [[number(devices, 0), number(offered, 0), number(answered, 0), number(answered / seconds, 0),
                 number(micros, 0), number(bound, 0), number(opened, 0)]])


def as_text(results):
    for title, header, rows in tables(results):
        print(f"\n{title}")
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        for row in [header, *rows]:
            print("  ".join(cell.ljust(widths[0]) if column == 0 else cell.rjust(widths[column])
                            for column, cell in enumerate(row)))


def markdown_table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def for_readme(results, text):
    """Puts the tables, without those of sizes and handshakes, between the marks of a README."""
    before, _, rest = text.partition(MARK)
    _, end, after = rest.partition(END_MARK)
    if not end:
        sys.exit(f"README.md has no {MARK} and {END_MARK}")
    lines = [MARK, f"{results.about['date']}, {results.about['machine']}, `{results.about['command'].strip()}`:", ""]
    for title, header, rows in tables(results, with_scale=False):
        lines += [f"**{title}**", "", *markdown_table(header, rows), ""]
    return before + "\n".join(lines) + END_MARK + after


def as_markdown(results):
    about = results.about
    yield "# Doorward beside other WireGuard gateways"
    yield ""
    yield "Written by the benchmark; do not edit. Made with, as root:"
    yield ""
    yield f"    {about['command']}"
    yield ""
    yield f"- {about['date']}; {about['machine']}; {about['kernel']}; load before the start {about['load']}"
    if about.get("rounds"):
        rounds = f"medians of {about['rounds']} rounds" if about["rounds"] != "1" else "one round"
        yield f"- {rounds} in which all gateways took turns, {about['seconds']} s a test (floods: two fifths of that)"
    pinned = "each gateway on CPU 0, everything else on the others" if about["pinned"] == "yes" else "nothing pinned"
    link = "on" if about["offloads"] == "yes" else "off"
    yield f"- {pinned}; offloads of the link between client and gateway {link}; MTU 1420 inside; NAT on for all"
    yield "- Doorward also decides on each packet, accounts for each flow and counts, as it always does"
    for name, version in results.versions.items():
        yield f"- {name}: {version}"
    if about.get("revision"):
        yield f"- this repository at {about['revision']}"
    yield ""
    yield "![CPU-seconds per GiB, packets a second and round trips of each gateway; the tables below have the same numbers]" \
          "(benchmark.svg)"
    for title, header, rows in tables(results):
        yield f"\n## {title}\n"
        yield from markdown_table(header, rows)
    yield ""
    yield "## How to read this"
    yield ""
    yield "Client, gateway and server share one machine. Ratios, taken within a round, are worth most, then CPU-seconds per GiB,"
    yield "then rates. *Flooded* means that packets, sealed beforehand, come faster than the gateway takes them; counters of"
    yield "nftables behind it, as bytes of payload, say what it delivered. Virtual links pass whole trains of packets: a real"
    yield "network card lies between these figures and those without offloads (`-k`)."


def main():
    results = Results(Path(sys.argv[1]))
    if len(sys.argv) == 2:
        as_text(results)
    elif len(sys.argv) == 4 and sys.argv[2] == "--publish":
        repo = Path(sys.argv[3])
        folder, readme = repo / "docs", repo / "README.md"
        folder.mkdir(exist_ok=True)
        readme.write_text(for_readme(results, readme.read_text()))
        (folder / "benchmark.md").write_text("\n".join(as_markdown(results)) + "\n")
        (folder / "benchmark.svg").write_text(draw(results, TITLES))
    else:
        sys.exit(__doc__)


main()
