"""Speed and accuracy of softmax_ext beside other libraries: ``python -m bench`` from a checkout.

``README.md`` in this folder says how and why it measures as it does, and names the files in
reading order.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What is measured must be the installed package. Python puts the checkout first on the import
# path, where `softmax_ext/` is mere source unless it was built in place. Dropping the checkout
# does not hide `bench`: its submodules are found through the package itself.
if not any((ROOT / "softmax_ext").glob("_core*.so")) and not any((ROOT / "softmax_ext").glob("_core*.pyd")):
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
