"""tests/e2e/prom.py FILE... - is it Prometheus' text format 0.0.4, and in good style?

Stricter than a scraper: HELP and TYPE before the samples of a metric, all of them together, no sample
twice, counters end in _total and nothing else does, base units, histograms whole and rising.
Prints one line per mistake; status 1 if there is one.  `--values FILE NAME` prints the samples of a metric.
"""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"(?:,|(?=\})))*'
SAMPLE = re.compile(rf"^({NAME})(?:\{{({LABELS})\}})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
NUMBER = re.compile(r"^(?:[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|Inf)|NaN)$")


def family(name, types):
    for suffix in ("_bucket", "_sum", "_count"):
        if name.endswith(suffix) and types.get(name[:-len(suffix)]) == "histogram":
            return name[:-len(suffix)]
    return name


def parse(text):
    """(samples [(metric, name, labels, value)], types, mistakes)"""
    types, helps, samples, wrong, seen, closed, now = {}, {}, [], [], set(), set(), None
    if not text.endswith("\n"):
        wrong.append("does not end with a newline")
    for no, line in enumerate(text.split("\n")[:-1], 1):
        say = lambda what, no=no, line=line: wrong.append(f"line {no}: {what}: {line[:120]}")
        head = re.match(rf"^# (HELP|TYPE) ({NAME}) (.+)$", line)
        if head:
            kind, name, rest = head.groups()
            table = helps if kind == "HELP" else types
            if name in table:
                say(f"a second {kind}")
            if kind == "TYPE" and rest not in ("counter", "gauge", "histogram", "summary", "untyped"):
                say("no such type")
            if kind == "TYPE" and name not in helps:
                say("TYPE without HELP before it")
            table[name] = rest
            if now and now != name:
                closed.add(now)
            now = name
            continue
        m = SAMPLE.match(line)
        if not m:
            say("no sample")
            continue
        name, labels, value = m.group(1), tuple(sorted(LABEL.findall(m.group(2) or ""))), m.group(3)
        metric = family(name, types)
        if not NUMBER.match(value):
            say("no number")
            continue
        if metric not in types or metric != now:
            say("a sample that does not follow its HELP and TYPE")
        if metric in closed:
            say("samples of a metric that do not stand together")
        if (name, labels) in seen:
            say("a sample twice")
        seen.add((name, labels))
        samples.append((metric, name, dict(labels), float(value)))
    return samples, types, wrong


def style(samples, types):
    wrong = []
    for name, kind in types.items():
        if not any(s[0] == name for s in samples):
            wrong.append(f"{name}: no sample")
        if (kind == "counter") != name.endswith("_total"):
            wrong.append(f"{name}: type {kind}")
        if re.search(r"_(ns|ms|us|nanoseconds|milliseconds|kb|mb|kib|mib|percent)(_total)?$", name):
            wrong.append(f"{name}: not a base unit")
        if not re.match(r"^(tarn|process)_", name):
            wrong.append(f"{name}: a foreign name")
        if kind == "histogram":
            wrong += histogram(name, [s for s in samples if s[0] == name])
    return wrong


def histogram(name, samples):
    wrong, groups = [], {}
    for _, full, labels, value in samples:
        key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        groups.setdefault(key, []).append((full, labels.get("le"), value))
    for key, rows in groups.items():
        buckets = [(float(le.replace("+Inf", "inf")), v) for full, le, v in rows if full == name + "_bucket"]
        count = [v for full, _, v in rows if full == name + "_count"]
        total = [v for full, _, v in rows if full == name + "_sum"]
        if not buckets or buckets[-1][0] != float("inf") or len(count) != 1 or len(total) != 1:
            wrong.append(f"{name}{dict(key)}: not whole")
        elif buckets != sorted(buckets) or any(a[1] > b[1] for a, b in zip(buckets, buckets[1:])):
            wrong.append(f"{name}{dict(key)}: buckets do not rise")
        elif buckets[-1][1] != count[0]:
            wrong.append(f"{name}{dict(key)}: +Inf is not the count")
    return wrong


def self_test():
    good = '# HELP tarn_a_total x\n# TYPE tarn_a_total counter\ntarn_a_total{m="a\\"b"} 1\ntarn_a_total{m="c"} 2\n'
    head = "# HELP tarn_h x\n# TYPE tarn_h histogram\n"
    bad = [good[:-1], good + 'tarn_a_total{m="c"} 3\n', good.replace("_total", ""), good.replace("counter", "gauge"),
           good + "tarn_b 1\n", good.replace(" 2\n", " two\n"), good.replace("# HELP tarn_a_total x\n", ""),
           good + "# HELP tarn_b x\n# TYPE tarn_b gauge\ntarn_b 1\ntarn_a_total{m=\"z\"} 1\n",
           good.replace("tarn_a_total", "tarn_a_ns_total"), good.replace('"c"', "c"),
           head + 'tarn_h_bucket{le="1"} 3\ntarn_h_bucket{le="+Inf"} 2\ntarn_h_sum 1\ntarn_h_count 2\n',
           head + 'tarn_h_bucket{le="1"} 3\ntarn_h_sum 1\ntarn_h_count 3\n']
    for text, is_good in [(good, True), (head + 'tarn_h_bucket{le="1"} 1\ntarn_h_bucket{le="+Inf"} 2\ntarn_h_sum 0.5\n'
                                         "tarn_h_count 2\n", True)] + [(b, False) for b in bad]:
        samples, types, wrong = parse(text)
        wrong += style(samples, types)
        if bool(wrong) == is_good:
            sys.exit(f"self-test: {wrong or 'nothing'} found in\n{text}")


def main():
    if sys.argv[1] == "--values":
        with open(sys.argv[2], encoding="utf-8") as f:
            for _, name, labels, value in parse(f.read())[0]:
                if name == sys.argv[3]:
                    print(*(f"{k}={v}" for k, v in labels.items()), f"{value:.15g}")
        return
    self_test()
    bad = False
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            samples, types, wrong = parse(f.read())
        for w in wrong + style(samples, types):
            print(f"{path}: {w}")
            bad = True
        if len(samples) < 50:
            print(f"{path}: only {len(samples)} samples")
            bad = True
    sys.exit(bad)


main()
