#!/usr/bin/env python3
"""The error of privet's releases beside those of OpenDP, PyDP, diffprivlib and Tumult Analytics. Used by tools/dp-error.

workloads               writes the workloads as JSON lines
run PEER < workloads    publishes them with a peer; writes {"name", "published"} for each that the peer offers
compare DIR < workloads reads DIR/privet and DIR/PEER, prints a table. Exit 1 where privet's root mean square error is
                        above 1.01 of theory's, or above a peer's by more than three standard errors of their ratio;
                        exit 3 where a peer's answers are missing and nothing else is wrong

In every workload a person adds one row to each of `keys_per_unit` keys, and values are whole numbers within `clamp`. All
keys hold the same rows, so each key that is published is one more draw. A peer that has groups gets the keys as groups,
one that has none gets each key as a data set of its own.
"""
import json
import math
import os
import random
import statistics
import sys

PEERS = ["opendp", "pydp", "diffprivlib", "tumult"]
# What is to be reached: beside theory, and in standard errors of the ratio beside a peer.
THEORY_MOST, STANDARD_ERRORS = 1.01, 3.0
# Every error is known this well, relative to itself.
STANDARD_ERROR_MOST = 0.003
LOW, HIGH = 0, 50
# A person's rows and who has any are secret with all others; this one takes the number of rows for public.
SIZE_IS_PUBLIC = {("diffprivlib", "mean")}


def values(rows):
    """Seconds that people stay: many short, few long. Their mean is away from the middle of the clamp."""
    rng = random.Random(20261125)
    return [min(HIGH, int(rng.expovariate(1 / 12))) for _ in range(rows)]


def workloads():
    def of(name, measure, keys_per_unit, rows, keys, releases, noise="discrete_laplace", loss="1"):
        return {"name": name, "measure": measure, "clamp": [LOW, HIGH], "keys_per_unit": keys_per_unit, "noise": noise,
                "loss": loss, "keys": keys, "releases": releases, "values": values(rows)}
    yield of("count, epsilon 1", "count", 1, 100, 10_000, 25)
    yield of("count, 4 keys a person, epsilon 1", "count", 4, 100, 10_000, 25)
    yield of("sum of 0 to 50, epsilon 1", "sum", 1, 100, 10_000, 25)
    yield of("mean of 0 to 50, 50 rows, epsilon 1", "mean", 1, 50, 10_000, 25)
    yield of("count, 4 keys a person, rho 0.1", "count", 4, 100, 10_000, 25, "discrete_gaussian", "0.1")


def draws(workload):
    return range(workload["keys"] * workload["releases"])


def truth(workload):
    exact = {"count": len, "sum": sum, "mean": statistics.fmean}
    return exact[workload["measure"]](workload["values"])


# The peers, each as its own pages tell to use it. A peer gives None for what it does not offer.


def opendp(workload):
    """Transformations and measurements over integers. A mean is a sum over a count with half of the loss each."""
    import opendp.prelude as dp
    dp.enable_features("contrib")
    measure, keys, loss = workload["measure"], workload["keys_per_unit"], float(workload["loss"])
    space = (dp.vector_domain(dp.atom_domain(T=int)), dp.symmetric_distance())
    count = space >> dp.t.then_count()
    total = space >> dp.t.then_clamp((LOW, HIGH)) >> dp.t.then_sum()

    def noisy(query, share):
        if workload["noise"] == "discrete_gaussian":
            return query >> dp.m.then_gaussian(math.sqrt(keys / (2 * loss * share)))
        return query >> dp.m.then_laplace(keys * query.map(1) / (loss * share))

    rows = workload["values"]
    if measure == "mean":
        sums, counts = noisy(total, 0.5), noisy(count, 0.5)
        return [sums(rows) / max(counts(rows), 1) for _ in draws(workload)]
    published = noisy(count if measure == "count" else total, 1)
    return [published(rows) for _ in draws(workload)]


def pydp(workload):
    """Google's C++ library: a count, a bounded sum, a bounded mean."""
    from pydp.algorithms.laplacian import BoundedMean, BoundedSum, Count
    if workload["noise"] != "discrete_laplace":
        return None
    how = {"epsilon": float(workload["loss"]), "l0_sensitivity": workload["keys_per_unit"], "linf_sensitivity": 1,
           "dtype": "int"}
    bounds = {} if workload["measure"] == "count" else {"lower_bound": LOW, "upper_bound": HIGH}
    algorithm = {"count": Count, "sum": BoundedSum, "mean": BoundedMean}[workload["measure"]]
    return [algorithm(**how, **bounds).quick_result(workload["values"]) for _ in draws(workload)]


def diffprivlib(workload):
    """Its tools over arrays of integers. They know no groups: several keys of a person share the loss, and a key's rows are
    counted among others, since an answer is cut off at the size of its array."""
    import numpy
    from diffprivlib import tools
    if workload["noise"] != "discrete_laplace":
        return None
    rows, epsilon = numpy.array(workload["values"]), float(workload["loss"]) / workload["keys_per_unit"]
    of_the_key = numpy.repeat([True, False, False, False], len(rows))
    tool = {
        "count": lambda: tools.count_nonzero(of_the_key, epsilon=epsilon),
        "sum": lambda: tools.sum(rows, epsilon=epsilon, bounds=(LOW, HIGH), dtype=int),
        "mean": lambda: tools.mean(rows, epsilon=epsilon, bounds=(LOW, HIGH)),
    }[workload["measure"]]
    return [float(tool()) for _ in draws(workload)]


def batches(of):
    return (of[first:first + 25_000] for first in range(0, len(of), 25_000))


def tumult(workload):
    """A session over a table of all keys, with integer noise, in a few queries of many keys. It takes its time, so it is asked
    for a fifth of the draws, and its standard errors are larger."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    import warnings
    warnings.simplefilter("ignore")
    from pyspark.sql import SparkSession
    from tmlt.analytics import AddMaxRowsInMaxGroups, KeySet, PureDPBudget, QueryBuilder, RhoZCDPBudget, Session
    settings = {"spark.ui.enabled": "false", "spark.driver.memory": "4g", "spark.driver.bindAddress": "127.0.0.1",
                "spark.driver.host": "127.0.0.1", "spark.sql.shuffle.partitions": "2"}
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")

    pure = workload["noise"] == "discrete_laplace"
    budget = (PureDPBudget if pure else RhoZCDPBudget)(float(workload["loss"]))
    person = AddMaxRowsInMaxGroups("key", workload["keys_per_unit"], 1)
    published = []
    for keys in batches(draws(workload)[::5]):
        names = spark.range(len(keys)).withColumnRenamed("id", "key")
        table = names.crossJoin(spark.createDataFrame([(value,) for value in workload["values"]], "value long"))
        session = Session.from_dataframe(budget, "rows", table, protected_change=person)
        grouped = QueryBuilder("rows").groupby(KeySet.from_dataframe(names))
        query = {
            "count": lambda: grouped.count(name="published"),
            "sum": lambda: grouped.sum("value", LOW, HIGH, name="published"),
            "mean": lambda: grouped.average("value", LOW, HIGH, name="published"),
        }[workload["measure"]]()
        published += session.evaluate(query, budget).toPandas()["published"].tolist()
    return published


def run(peer):
    publish = globals()[peer]
    for line in sys.stdin:
        workload = json.loads(line)
        published = publish(workload)
        print(json.dumps({"name": workload["name"], "offered": published is not None, "published": published}),
              flush=True)


# Theory: the exact error of privet's mechanisms.


def masses(noise, scale):
    """The probabilities of integer noise, far into the tails."""
    far = math.ceil(45 * scale if noise == "discrete_laplace" else 12 * scale)
    power = (lambda k: abs(k) / scale) if noise == "discrete_laplace" else (lambda k: k * k / (2 * scale * scale))
    weights = {k: math.exp(-power(k)) for k in range(-far, far + 1)}
    total = math.fsum(weights.values())
    return {k: weight / total for k, weight in weights.items()}


def deviation(noise, scale):
    return math.sqrt(math.fsum(mass * k * k for k, mass in masses(noise, scale).items()))


def mean_error(scale, width, above_low, below_high):
    """Of the mean that follows from two noisy sums, over all pairs of noises."""
    noise = [(k, mass) for k, mass in masses("discrete_laplace", scale).items() if mass > 1e-9]
    exact = above_low / (above_low + below_high)

    def square(above, below):
        above, below = max(above_low + above, 0), max(below_high + below, 0)
        return (above / (above + below) - exact) ** 2 if above + below else 0
    expected = math.fsum(one * math.fsum(other * square(above, below) for below, other in noise) for above, one in noise)
    return width * math.sqrt(expected)


def theory(workload):
    keys, loss, rows = workload["keys_per_unit"], float(workload["loss"]), workload["values"]
    if workload["measure"] == "mean":
        # A row adds the width to both sums together.
        above_low, below_high = sum(row - LOW for row in rows), sum(HIGH - row for row in rows)
        return mean_error((HIGH - LOW) * keys / loss, HIGH - LOW, above_low, below_high)
    reach = 1 if workload["measure"] == "count" else max(abs(LOW), abs(HIGH))
    if workload["noise"] == "discrete_gaussian":
        return deviation(workload["noise"], reach * math.sqrt(keys / (2 * loss)))
    return deviation(workload["noise"], reach * keys / loss)


class Measured:
    """A root mean square error, and its standard error relative to itself."""

    def __init__(self, published, exact, unit):
        squares = [(value / unit - exact) ** 2 for value in published]
        self.error = math.sqrt(statistics.fmean(squares))
        self.relative = statistics.pstdev(squares) / math.sqrt(len(squares)) / (2 * self.error**2)

    def __str__(self):
        return f"{self.error:.4f} ± {100 * self.relative:.2f} %"

    def below(self, other):
        return self.error <= other.error * (1 + STANDARD_ERRORS * math.hypot(self.relative, other.relative))


def answers(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as lines:
        return {answer["name"]: answer["published"] for answer in map(json.loads, lines)}


def compare(directory):
    told = {peer: answers(os.path.join(directory, peer)) for peer in ["privet", *PEERS]}
    wrong, pending, public = [], [], False
    print("| workload | theory | privet | of theory | " + " | ".join(PEERS) + " |")
    print("|---|---|---|---|" + "---|" * len(PEERS))
    for workload in map(json.loads, sys.stdin):
        name, exact, least = workload["name"], truth(workload), theory(workload)
        # A mean is published in thousandths.
        ours = Measured(told["privet"][name], exact, 1000 if workload["measure"] == "mean" else 1)
        if ours.error > THEORY_MOST * least:
            wrong.append(f"{name}: {ours} is {ours.error / least:.4f} of theory, above {THEORY_MOST}")
        if ours.relative > STANDARD_ERROR_MOST:
            wrong.append(f"{name}: too few draws for an error of {ours}")
        cells = []
        for peer in PEERS:
            if name not in told[peer]:
                pending.append(f"{name}: no answer of {peer}")
                cells.append("pending")
            elif told[peer][name] is None:
                cells.append("not offered")
            else:
                theirs = Measured(told[peer][name], exact, 1)
                mark = " *" if (peer, workload["measure"]) in SIZE_IS_PUBLIC else ""
                public |= bool(mark)
                cells.append(f"{theirs}{mark}")
                if not ours.below(theirs):
                    wrong.append(f"{name}: {ours} is worse than {theirs} of {peer}")
        print(f"| {name} | {least:.4f} | {ours} | {ours.error / least:.4f} | " + " | ".join(cells) + " |", flush=True)
    if public:
        print("\n* takes the number of rows for public, which hides what a person did but not that they were there")
    for line in wrong + pending:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 3 if pending else 0)


def main():
    match sys.argv[1:]:
        case ["workloads"]:
            for workload in workloads():
                print(json.dumps(workload))
        case ["run", peer] if peer in PEERS:
            run(peer)
        case ["compare", directory]:
            compare(directory)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
