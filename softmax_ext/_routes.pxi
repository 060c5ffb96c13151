# The routes of csrc/route.c, seen from Python: which one a call takes, and switches for tests.

from softmax_ext._csrc cimport (
    SMX_EXPLANATION, smx_option_name, smx_route_name, smx_turn_option, smx_turn_route,
)

cdef char _explanation_text[SMX_EXPLANATION]
cdef char *_explanation = NULL  # what _init_plan puts into plans


def _explain(function, *args, **kwargs):
    """Run a call and return the route that it took through csrc/, in a line.

    Parameters
    ----------
    function : callable
        A function of this package.
    *args, **kwargs
        Its arguments.

    Returns
    -------
    str
        "no kernel ran" if the arrays have no elements. While another thread runs a call at the same time, the line may
        be about that one.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import _core, softmax
    >>> _core._explain(softmax, np.zeros((2, 3)))
    'tiny: 1 tile of 2 rows'
    """
    global _explanation
    _explanation_text[0] = 0
    _explanation = _explanation_text
    try:
        function(*args, **kwargs)
    finally:
        _explanation = NULL
    return _explanation_text.decode() or "no kernel ran"


def _route_names():
    """Return the names of the routes, in the order in which they are tried, and of the options that routes have."""
    cdef int number
    routes, options = [], []
    number = 0
    while smx_route_name(number) != NULL:
        routes.append(smx_route_name(number).decode())
        number += 1
    number = 0
    while smx_option_name(number) != NULL:
        options.append(smx_option_name(number).decode())
        number += 1
    return tuple(routes), tuple(options)


def _set_routes(off=()):
    """Turn routes and options off, by name, and all others on. "short" and "gathered" stay on: they take all rows.

    For tests, and not while other threads run calls: no result depends on it.
    """
    routes, options = _route_names()
    unknown = set(off) - set(routes) - set(options)
    if unknown:
        raise ValueError(f"off: no route or option is named {sorted(unknown)}")
    for number, name in enumerate(routes):
        smx_turn_route(number, name in off)
    for number, name in enumerate(options):
        smx_turn_option(number, name in off)
