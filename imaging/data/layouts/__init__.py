"""The layouts that images and labels come in, by name. Each becomes the same packed dataset version.

`LAYOUTS` is in the order in which they are tried: the particular ones first.
"""

from imaging.data.label_tables import parse_table
from imaging.data.layouts import cifar10, covid_chestxray, folders, kermany, mnist, nih
from imaging.data.layouts.plan import ArrayPart, Layout, Place, Plan, Subject
from imaging.errors import ConfigurationError, DataError

__all__ = ["LAYOUTS", "ArrayPart", "Layout", "Place", "Plan", "Subject", "choose"]


def _read_table(place: Place) -> Plan:
    if place.table is None:
        raise DataError("the layout `table` needs a label table: --labels FILE")
    entries = parse_table(place.table)
    return Plan(entries=entries, classes=frozenset(entry.label for entry in entries if entry.label))


LAYOUTS = {
    "mnist": Layout(fits=mnist.fits, read=mnist.read, subject="picture", size=28),
    "cifar10": Layout(fits=cifar10.fits, read=cifar10.read, subject="picture", size=32),
    "nih": Layout(fits=nih.fits, read=nih.read),
    "covid-chestxray": Layout(fits=covid_chestxray.fits, read=covid_chestxray.read),
    "kermany": Layout(fits=kermany.fits, read=kermany.read),
    "table": Layout(fits=lambda place: place.table is not None, read=_read_table),
    "folders": Layout(fits=lambda _: True, read=folders.read),
}
FINDINGS = ("nih", "covid-chestxray")


def choose(place: Place, name: str) -> str:
    """Return the layout called `name`, or with `auto` the first that fits.

    Raises:
        ConfigurationError: an unknown layout, one that does not fit, or a finding where there are none.
    """
    if name != "auto" and name not in LAYOUTS:
        raise ConfigurationError(f"no layout {name!r}; there are: auto, {', '.join(LAYOUTS)}")
    if name not in ("auto", "table") and not LAYOUTS[name].fits(place):
        raise ConfigurationError(f"the source is not laid out as {name}; --layout auto finds out what it is")
    chosen = next(key for key, layout in LAYOUTS.items() if layout.fits(place)) if name == "auto" else name
    if place.finding and chosen not in FINDINGS:
        raise ConfigurationError(f"--finding is for the layouts {' and '.join(FINDINGS)}; the source is {chosen}")
    return chosen
