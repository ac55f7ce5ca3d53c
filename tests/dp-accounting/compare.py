#!/usr/bin/env python3
"""Google's dp-accounting on lists of releases, beside privet's accountants. Used by tools/dp-accounting.

lists            writes 200 lists of realistic releases as JSON lines: counts per day and hour over 30 and 365 days
peer             reads lists, writes each with dp-accounting's epsilons: `upper` (pessimistic, connect the dots) and
                 `lower` (optimistic, privacy buckets), one number per delta
slice            reads what `peer` writes, puts the exact epsilon as `lower` where it is known
compare OURS     reads what `peer` writes, and OURS from `cargo run --example epsilons`; prints the worst ratios; exit 1
                 where a bound is broken
"""
import itertools
import json
import math
import sys

DELTAS = [1e-6, 1e-7, 1e-9]
# What is to be reached: our distribution beside theirs, and sums of epsilons and rhos beside theirs.
PLD_MOST, PLAIN_MOST = 1.01, 1.10
# How finely theirs looks at the standard deviation of one loss, and how many cells it may take.
CELLS_PER_DEVIATION, CELLS_MAX = 100, 2_000_000


def epsilon_of_rho(rho, delta):
    """Canonne, Kamath and Steinke 2020, proposition 12, by a plain scan of orders."""
    orders = (1 + math.exp(step / 20) for step in range(-100, 300))
    return min(a * rho + math.log(1 / delta) / (a - 1) + math.log1p(-1 / a) * a / (a - 1) - math.log(a - 1) / (a - 1)
               for a in orders)


def rho_for(epsilon, delta):
    low, high = 1e-9, 100.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if epsilon_of_rho(middle, delta) < epsilon else (low, middle)
    return low


def scale_for(noise, releases, shift, epsilon):
    """The scale by which all releases cost `epsilon` at 1e-9, in quarters, as somebody would plan it with sums."""
    by_rho = shift * math.sqrt(releases / (2 * rho_for(epsilon, 1e-9)))
    by_epsilon = shift * releases / epsilon if noise == "laplace" else math.inf
    return max(1, math.ceil(4 * min(by_rho, by_epsilon))) / 4


def lists():
    plain = itertools.product(["laplace", "gaussian"], [30, 365, 720, 8760], [1, 4], [1, 3], [0.5, 1, 2, 4, 8])
    for noise, windows, keys, shift, epsilon in plain:
        scale = scale_for(noise, windows * keys, shift, epsilon)
        yield {"name": f"{noise} {windows} windows {keys} keys shift {shift} epsilon {epsilon}",
               "releases": [{"event": noise, "scale": scale, "shift": shift, "times": windows * keys}]}
    # Two exports about the same people, each with half of epsilon.
    for days, keys, epsilon in itertools.product([30, 365], [1, 4], [0.5, 1, 2, 4, 8]):
        day, hour = scale_for("gaussian", days * keys, 1, epsilon / 2), scale_for("laplace", 24 * days, 1, epsilon / 2)
        yield {"name": f"mixed {days} days {keys} keys epsilon {epsilon}",
               "releases": [{"event": "gaussian", "scale": day, "shift": 1, "times": days * keys},
                            {"event": "laplace", "scale": hour, "shift": 1, "times": 24 * days}]}
    # A large answer or two, beside many small counts.
    for large, days, epsilon in itertools.product([0.5, 2], [30, 365], [0.5, 1, 2, 4, 8]):
        count = scale_for("laplace", days, 2, epsilon)
        yield {"name": f"answers {large} {days} days epsilon {epsilon}",
               "releases": [{"event": "pure", "epsilon": large, "times": 2},
                            {"event": "laplace", "scale": count, "shift": 2, "times": days}]}


def deviation(release):
    return release["epsilon"] if release["event"] == "pure" else release["shift"] / release["scale"]


def interval(releases):
    """The width of theirs' cells: fine beside the smallest loss, but within bounds of size."""
    total = math.sqrt(sum(release["times"] * deviation(release) ** 2 for release in releases))
    fine = min(deviation(release) for release in releases) / CELLS_PER_DEVIATION
    return min(1e-4, max(fine, 20 * total / CELLS_MAX))


def distribution(pld, releases, width, pessimistic):
    composed = None
    for release in releases:
        how = {"pessimistic_estimate": pessimistic, "value_discretization_interval": width,
               "use_connect_dots": pessimistic}
        if release["event"] == "laplace":
            one = pld.from_discrete_laplace_mechanism(1 / release["scale"], release["shift"], **how)
        elif release["event"] == "gaussian":
            one = pld.from_discrete_gaussian_mechanism(release["scale"], release["shift"], **how)
        else:
            # Randomized response is discrete Laplace noise of shift 1; their function of its name connects no dots.
            one = pld.from_discrete_laplace_mechanism(release["epsilon"], 1, **how)
        many = one.self_compose(release["times"])
        composed = many if composed is None else composed.compose(many)
    return composed


def peer():
    from dp_accounting.pld import privacy_loss_distribution as pld
    for line in sys.stdin:
        written = json.loads(line)
        width = interval(written["releases"])
        for name, pessimistic in [("upper", True), ("lower", False)]:
            composed = distribution(pld, written["releases"], width, pessimistic)
            written[name] = [float(composed.get_epsilon_for_delta(delta)) for delta in written["deltas"]]
        print(json.dumps(written), flush=True)


def responses(releases):
    """The loss and number of releases that are randomized response: discrete Laplace of shift 1 is. Else None."""
    match releases:
        case [{"event": "laplace", "scale": scale, "shift": 1, "times": times}]:
            return scale, times
    return None


def exact_delta(scale, times, epsilon):
    """Delta of so many randomized responses, in 30 digits."""
    from mpmath import exp, mp, mpf
    mp.dps = 30
    step, epsilon = 1 / mpf(scale), mpf(epsilon)
    truth, lie = 1 / (1 + exp(-step)), 1 / (1 + exp(step))
    weight, gain, delta = truth**times, exp(epsilon - times * step), mpf(0)
    for lies in range(times + 1):
        if gain >= 1:
            break
        delta += weight * (1 - gain)
        weight *= lie / truth * (times - lies) / (lies + 1)
        gain *= exp(2 * step)
    return delta


def exact_epsilon(scale, times, delta):
    """Rounded down."""
    low, high = 0.0, times / scale
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if exact_delta(scale, times, middle) > delta else (low, middle)
    return low


def slice_of():
    """Where the exact epsilon is known, it is the lower bound."""
    for line in sys.stdin:
        written = json.loads(line)
        if found := responses(written["releases"]):
            written["lower"] = [exact_epsilon(*found, delta) for delta in written["deltas"]]
        print(json.dumps(written), flush=True)


def points(path):
    """One for each list and delta."""
    with open(path, encoding="utf-8") as file:
        ours = {answer["name"]: answer["epsilons"] for answer in map(json.loads, file)}
    for written in map(json.loads, sys.stdin):
        for delta, upper, lower, mine in zip(written["deltas"], written["upper"], written["lower"], ours[written["name"]]):
            sums = min(mine["zcdp"] or math.inf, mine["basic"] or math.inf)
            point = {"name": f"{written['name']}, delta {delta:g}", "kind": written["name"].split()[0], "delta": delta,
                     "pld": mine["pld"] / upper, "plain": mine["plain"] / upper, "sums": sums / upper,
                     "below": mine["pld"] < lower, "by": 1 - mine["pld"] / lower, "plain below": mine["plain"] < lower}
            # Their round-off is absolute, of a Fourier transform: their optimistic epsilon may lie above the exact one.
            # Where the exact one is known it decides, and for every such point, also where ours is above theirs.
            if found := responses(written["releases"]):
                point["exact"] = exact_delta(*found, mine["pld"]) <= delta
                point["theirs short"] = exact_delta(*found, upper) > delta
            yield point


def compare(path):
    found = list(points(path))
    print("| lists | points | PLD: worst / median | plain: worst / median | above 1.10 | min(basic, zCDP): worst / median | above 1.10 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in [*sorted({point["kind"] for point in found}), "all"]:
        of = [point for point in found if kind in (point["kind"], "all")]
        def worst_median(name):
            return f"{max(p[name] for p in of):.4f} / {sorted(p[name] for p in of)[len(of) // 2]:.4f}"
        def above(name):
            return sum(point[name] > PLAIN_MOST for point in of)
        print(f"| {kind} | {len(of)} | {worst_median('pld')} | {worst_median('plain')} | {above('plain')} | "
              f"{worst_median('sums')} | {above('sums')} |")
    known = [point for point in found if "exact" in point]
    print(f"\nexact epsilon known: {len(known)} points; ours is below it at {sum(not p['exact'] for p in known)}, "
          f"their pessimistic one at {sum(p['theirs short'] for p in known)}")
    below = [point for point in found if point["below"]]
    print(f"ours below their optimistic one: {len(below)} points, {sum(p.get('exact', False) for p in below)} of them above the "
          f"exact one; by at most {max((p['by'] for p in below), default=0):.1e}")
    for name in ["pld", "plain", "sums"]:
        for point in sorted(found, key=lambda point: -point[name])[:3]:
            print(f"{name} {point[name]:.4f} of theirs: {point['name']}")
    broken = [f"PLD {p['pld']:.4f} of theirs, above {PLD_MOST}: {p['name']}" for p in found if p["pld"] > PLD_MOST]
    broken += [f"PLD below the exact epsilon: {p['name']}" for p in known if not p["exact"]]
    broken += [f"PLD below their optimistic epsilon by {p['by']:.1e}: {p['name']}" for p in below if "exact" not in p]
    broken += [f"plain {p['plain']:.4f} of theirs, above {PLAIN_MOST}: {p['name']}" for p in found if p["plain"] > PLAIN_MOST]
    broken += [f"plain below their optimistic epsilon: {p['name']}" for p in found if p["plain below"]]
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken else 0


def main():
    match sys.argv[1:]:
        case ["lists"]:
            for written in lists():
                print(json.dumps({"name": written["name"], "deltas": DELTAS, "releases": written["releases"]}))
        case ["peer"]:
            peer()
        case ["slice"]:
            slice_of()
        case ["compare", path]:
            return compare(path)
        case _:
            sys.exit(__doc__)
    return 0


sys.exit(main())
