"""What to say where the compiled module is not: imported only if that is so."""

import importlib.machinery
import sys
from pathlib import Path


def explanation(folder: str) -> str:
    """Say why a folder's compiled module cannot be imported, and what to do.

    Parameters
    ----------
    folder : str
        The package's; of one in a zip file, a path through the file.

    Returns
    -------
    str
    """
    here = Path(folder)
    if not here.is_dir():
        return (
            f"softmax_ext cannot be imported from {folder}: a compiled module has to be a file of its own, "
            "not part of an archive. Install softmax_ext, or unpack it"
        )
    others = sorted(path.name for path in here.glob("_core.*") if path.suffix in (".so", ".pyd", ".dll"))
    if others:
        wanted = f"_core{importlib.machinery.EXTENSION_SUFFIXES[0]}"
        return (
            f"the compiled module of softmax_ext in {folder} is for another Python ({', '.join(others)}; this one, "
            f"{sys.executable}, looks for {wanted}). Install softmax_ext with this Python"
        )
    if (here.parent / "setup.py").is_file():
        return (
            f"softmax_ext was imported from its source folder, {here.parent}, which holds no compiled module and lies "
            "in front of the installed package on sys.path. Start Python in another folder; or build the module there: "
            "python -m pip install -e ."
        )
    return f"softmax_ext in {folder} has lost its compiled module. Install it anew"
