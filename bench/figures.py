"""From the rounds' times to the figures that are printed, drawn and compared.

A record is a dict, as it stands in the JSON file: ``set``, ``case``, ``threads``, ``peer``,
``form``, ``seconds`` (one a round), and ``error`` if something went wrong.
"""

import statistics

from bench.peers import OURS, PEERS


def median(record):
    """Median over rounds, in seconds."""
    return statistics.median(record["seconds"])


def quartiles(record):
    """First and third quartile over rounds, in seconds."""
    seconds = record["seconds"]
    if len(seconds) < 2:
        return seconds[0], seconds[0]
    low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return low, high


def spread(record):
    """Half the distance between the quartiles, as a share of the median."""
    low, high = quartiles(record)
    return (high - low) / 2 / median(record)


def ratio(record, other):
    """How many times longer `record` takes than `other`: the median of the rounds' ratios.

    Both of a round's times come from the same moments, so that a machine that drifts between
    rounds does not show.
    """
    # One of them may have been lost before the last round.
    pairs = zip(record["seconds"], other["seconds"], strict=False)
    return statistics.median(a / b for a, b in pairs)


def group(records, *keys):
    """Sort records into lists that agree in `keys`, in order of appearance.

    Parameters
    ----------
    records : list of dict
    *keys : str

    Returns
    -------
    dict of tuple to list of dict
    """
    groups = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys), []).append(record)
    return groups


def largest(records):
    """Join the largest errors of several row lengths.

    Parameters
    ----------
    records : list of dict
        Of the accuracy: of one peer, operation and type.

    Returns
    -------
    dict of (float, float) to float
        From scale and offset of the logits to the error.
    """
    found = {}
    for record in records:
        for entry in record["worst"] or ():
            rows = entry["scale"], entry["offset"]
            found[rows] = max(entry["error"], found.get(rows, 0.0))
    return found


class Contest:
    """The records of one case with one number of threads.

    Attributes
    ----------
    ours, exp, roof, numpy : dict or None
        Records of softmax_ext, of the yardsticks and of NumPy; None where there is no time.
    peers : list of dict
        Records of the peers that have a time, the fastest first.
    failed : list of dict
        Records that have an error instead.
    """

    def __init__(self, records):
        own = {r["peer"]: r for r in records if r["form"] == "own" and r["seconds"]}
        self.ours, self.exp, self.roof = own.get(OURS), own.get("np.exp"), own.get("roof")
        self.numpy = own.get("numpy")
        self.peers = sorted((own[name] for name in PEERS if name in own), key=median)
        self.failed = [r for r in records if r["error"]]

    def ratio(self, record):
        """How many times longer `record` takes than ours; None if either is missing."""
        return ratio(record, self.ours) if record and self.ours else None

    def reached(self):
        """Whether we are as fast as we want to be; None if it cannot be told.

        That is twice the fastest peer's speed, or within 1.3 times of the roof; and softmax
        and log_softmax are never slower than `np.exp`.
        """
        if not (self.ours and self.peers and self.exp and self.roof):
            return None
        fast = self.ratio(self.peers[0]) >= 2 or 1 / self.ratio(self.roof) <= 1.3
        held_to_exp = self.ours["case"].startswith(("softmax:", "log_softmax:"))
        return fast and (not held_to_exp or self.ratio(self.exp) >= 1)
