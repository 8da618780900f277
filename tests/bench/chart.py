"""The benchmark's picture: bars with their numbers written beside them, in both colour schemes, without a request."""

from html import escape

BAR, GAP, LABELS, VALUES, WIDTH, TOP = 13, 12, 130, 70, 940, 62
STYLE = """
    svg { font: 12px system-ui, sans-serif; color-scheme: light dark; }
    .paper { fill: #ffffff; } text { fill: #1f2933; } .quiet { fill: #52606d; } .head { font-weight: 600; }
    .g0 { fill: #0b6e4f; } .g1 { fill: #5b7db1; } .g2 { fill: #93a9cc; } .g3 { fill: #b08968; } .g4 { fill: #c9b79c; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #12181f; } text { fill: #e4e9ee; } .quiet { fill: #a5b1bd; }
      .g0 { fill: #35c58f; } .g1 { fill: #6f93cb; } .g2 { fill: #4c648b; } .g3 { fill: #b58a63; } .g4 { fill: #7d6a51; }
    }
"""


def panels(results):
    """The titles, tests, columns and digits of the panels: left and right."""
    tests = results.tests
    # 64-byte packets cost so much a GiB that they would flatten every other bar.
    cpu = [test for test in tests if not test.startswith("ping") and not test.endswith("-64")]
    kpps = [test for test in tests if test.startswith(("up-", "down-"))]
    pings = [test for test in tests if test.startswith("ping")]
    left = [("CPU-seconds per GiB: less is better", cpu, 1, 2)]
    right = [("Thousand packets a second, flooded: more is better", kpps, 0, 0),
             ("Round trip of a ping, p50 in µs: less is better", pings, 0, 0)]
    return [[panel for panel in side if panel[1]] for side in (left, right)]


def panel(results, titles, spec, left, top, width):
    """Draws one panel; returns its lines and where it ends."""
    title, tests, column, digits = spec
    lines = [f'<text class="head" x="{left}" y="{top}">{escape(title)}</text>']
    values = {(name, test): results.median(name, test, column) for name in results.gateways for test in tests}
    most = max((value for value in values.values() if value), default=1)
    room = width - LABELS - VALUES
    y = top + 12
    for test in tests:
        middle = y + BAR * len(results.gateways) / 2 + 4
        for part, text in enumerate(wrapped(titles[test])):
            lines.append(f'<text x="{left}" y="{middle + 14 * part - 7 * (len(wrapped(titles[test])) - 1):.0f}">{escape(text)}</text>')
        for index, name in enumerate(results.gateways):
            value = values[name, test]
            if value is not None:
                long = max(1, room * value / most)
                lines.append(f'<rect class="g{index % 5}" x="{left + LABELS}" y="{y}" width="{long:.1f}" height="{BAR - 2}">'
                             f"<title>{escape(name)}, {escape(titles[test])}: {value:,.{digits}f}</title></rect>")
                lines.append(f'<text class="quiet" x="{left + LABELS + long + 5:.1f}" y="{y + BAR - 3}">{value:,.{digits}f}</text>')
            y += BAR
        y += GAP
    return lines, y + 24


def wrapped(text):
    """Breaks a label where it would run into the bars."""
    if len(text) <= 19:
        return [text]
    words, lines = text.split(), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 18:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def draw(results, titles):
    """The whole picture as SVG."""
    body, height = [], TOP
    half = WIDTH // 2
    for side, specs in enumerate(panels(results)):
        top = TOP + 16
        for spec in specs:
            lines, top = panel(results, titles, spec, 20 + side * half, top, half - 30)
            body += lines
        height = max(height, top)
    x, legend = 20, []
    for index, name in enumerate(results.gateways):
        legend.append(f'<rect class="g{index % 5}" x="{x}" y="33" width="11" height="11"/>')
        legend.append(f'<text x="{x + 16}" y="43">{escape(name)}</text>')
        x += 40 + 7 * len(name)
    about = f"{results.about['date']}, {results.about['machine']}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title desc">',
        '<title id="title">Doorward beside other WireGuard gateways</title>',
        '<desc id="desc">Bars of CPU-seconds per GiB, packets a second and round trips for each gateway and test; '
        "benchmark.md has the same numbers as tables.</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text class="head" x="20" y="20">One gateway core. {escape(about)}</text>',
        *legend, *body, "</svg>", ""])
