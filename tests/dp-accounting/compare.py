"""Our accountants beside dp-accounting's privacy loss distributions, on 200 lists of releases.

usage: compare.py EPSILONS_BIN [COUNT [RECORD]]     exits 1 where a bound is broken; RECORD gets their answers
"""
import json
import random
import subprocess
import sys
import time

from dp_accounting.pld import privacy_loss_distribution as pld

NAMES = {"laplace": "discrete_laplace", "gaussian": "discrete_gaussian"}


def lists(count):
    """Exports as people declare them: hourly or daily, a month or a year, a delta between 1e-6 and 1e-9."""
    dice = random.Random(20261125)
    made = []
    while len(made) < count:
        releases = dice.choice([1, 7, 24, 30, 168, 365, 720])
        delta = dice.choice([1e-6, 1e-7, 1e-9])
        total = dice.choice([0.5, 1.0, 2.0, 4.0, 8.0])
        kind = dice.choice(["gaussian", "laplace", "mixed"])
        events = []
        if kind in ("gaussian", "mixed"):
            moved = dice.choice([1, 2, 3, 10])
            # about the sigma that spends `total` over all releases
            sigma = max(0.6, moved * (2 * releases * 20) ** 0.5 / (total * 2))
            events.append({"noise": "gaussian", "scale": round(sigma, 4), "moved": moved, "count": releases})
        if kind in ("laplace", "mixed"):
            moved = dice.choice([1, 2, 6])
            epsilon = total / releases if dice.random() < 0.4 else total / (releases * 20) ** 0.5
            events.append({"noise": "laplace", "scale": round(moved / epsilon, 4), "moved": moved, "count": releases})
        made.append({"kind": kind, "releases": releases, "delta": delta, "events": events})
    return made


def theirs(case, pessimistic):
    total = None
    for event in case["events"]:
        # A finer grid for them than ours, so that their rounding does not flatter us.
        step = 1e-4 if case["releases"] > 30 else 1e-3 * 0.1
        make = pld.from_discrete_laplace_mechanism if event["noise"] == "laplace" else pld.from_discrete_gaussian_mechanism
        key = {"laplace": 1 / event["scale"], "gaussian": event["scale"]}[event["noise"]]
        kwargs = dict(sensitivity=event["moved"], value_discretization_interval=step, pessimistic_estimate=pessimistic)
        one = make(key, **kwargs)
        composed = one.self_compose(event["count"])
        total = composed if total is None else total.compose(composed)
    return total.get_epsilon_for_delta(case["delta"])


def main():
    binary, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    cases = lists(count)
    for case in cases:
        case["ours_events"] = [dict(event, noise=NAMES[event["noise"]]) for event in case["events"]]
    started = time.time()
    lines = "".join(json.dumps({"events": case["ours_events"], "delta": case["delta"]}) + "\n" for case in cases)
    ran = subprocess.run([binary], input=lines, capture_output=True, text=True, check=True, timeout=1200)
    ours = [json.loads(line) for line in ran.stdout.splitlines()]
    took = time.time() - started
    recorded = open(sys.argv[3], "w") if len(sys.argv) > 3 else None
    worst = {"plain": {}, "pld": 0.0}
    broken, above = [], []
    for number, (case, one) in enumerate(zip(cases, ours)):
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {count}", end="", file=sys.stderr)
        pessimistic, optimistic = theirs(case, True), theirs(case, False)
        if recorded:
            bounds = {"optimistic": optimistic, "pessimistic": pessimistic}
            recorded.write(json.dumps({"events": case["ours_events"], "delta": case["delta"], **bounds}) + "\n")
        plain = min(x for x in (one["basic"], one["zcdp"]) if x is not None)
        if one["pld"] is None or one["pld"] < optimistic * (1 - 1e-6) or plain < optimistic * (1 - 1e-6):
            broken.append((case["events"], case["delta"], one, optimistic))
            continue
        ratio = one["pld"] / pessimistic
        worst["pld"] = max(worst["pld"], ratio)
        worst["plain"][case["kind"]] = max(worst["plain"].get(case["kind"], 0), plain / pessimistic)
        if plain / pessimistic > 1.10:
            above.append((plain / pessimistic, case["kind"], case["releases"], case["delta"], case["events"]))
        if ratio > 1.01:
            broken.append((case["events"], case["delta"], one, pessimistic))
    print(f"{count} lists, ours in {took:.1f} s")
    for kind, ratio in sorted(worst["plain"].items()):
        print(f"min(basic, zCDP), {kind:9} at most {ratio:.4f} times their PLD")
    print(f"our PLD                     at most {worst['pld']:.4f} times theirs")
    print(f"min(basic, zCDP) is above 1.10 times in {len(above)} of {count}")
    for line in sorted(above, reverse=True)[:5]:
        print("   ", line)
    for line in broken[:5]:
        print("broken:", line)
    sys.exit(1 if broken else 0)


main()
