"""The animals' proportions and coats. Lengths are in head radii; v is down, so eyes have a negative v."""

from dataclasses import dataclass

from storybook.world.paints import Colour, from_hex


@dataclass(frozen=True)
class Coat:
    """Colours of an animal."""

    main: Colour
    light: Colour  # muzzle, belly, paws
    dark: Colour  # pattern, tips of the ears


@dataclass(frozen=True)
class Ear:
    """The right-hand ear; the left one mirrors it."""

    kind: str  # cone, round, long, flop, fan, fold, tuft, none
    at: tuple[float, float] = (0.0, 0.0)  # (u, v) of its root on the head
    angle: float = 0.0  # from upright, outwards, radians
    length: float = 0.0
    width: float = 0.0  # radius at the root


@dataclass(frozen=True)
class Eye:
    """The right-hand eye; the left one mirrors it."""

    at: tuple[float, float]  # (u, v) of its centre on the head
    size: float  # its radius, never below 0.2
    glass: bool = False  # without white


@dataclass(frozen=True)
class Muzzle:
    """Half width (0: none), half height and v of the muzzle."""

    width: float
    height: float
    v: float


@dataclass(frozen=True)
class Nose:
    """Kind, half width, half height and v of the nose."""

    kind: str  # leather, snout, beak, bill, trunk, nostrils
    width: float
    height: float
    v: float


@dataclass(frozen=True)
class Breed:
    """Proportions of one animal family, and the colours and patterns that it may have."""

    share: int  # of the pages
    coats: tuple[Coat, ...]
    head: tuple[float, float]  # half width and half height of the head
    ear: Ear
    eye: Eye
    muzzle: Muzzle
    nose: Nose
    tail: str  # thin, bushy, puff, curl, tuft, none
    patterns: tuple[str, ...]
    irises: tuple[Colour, ...]


def _coats(*codes: str) -> tuple[Coat, ...]:
    """Coats from their colours main, light, dark, separated by commas."""
    coats = (coat.split() for line in codes for coat in line.split(","))
    return tuple(Coat(*map(from_hex, colours)) for colours in coats)


GREEN, AMBER, BLUE, BROWN, BLACK = map(from_hex, ("7fa83c", "d99a2b", "5b9fc8", "6b3f1d", "1b1512"))
PANDA = _coats("f4f1ec ffffff 2b2a2e")[0]

BREEDS: dict[str, Breed] = {
    "cat": Breed(
        share=5,
        coats=_coats(
            "e8964a fff1dc b45f1f, 8d8f98 eeeef0 55565f, f4ece0 fffaf2 c99a6b",
            "3b3840 a9a4ab 1d1b22, b08a63 f0e2cc 6a4a30, d9b98c fbf1de 5d4433",
        ),
        head=(1.04, 0.86),
        ear=Ear("cone", (0.62, -0.5), 0.32, 0.72, 0.36),
        eye=Eye((0.42, -0.12), 0.24, glass=True),
        muzzle=Muzzle(0.34, 0.22, 0.4),
        nose=Nose("leather", 0.1, 0.075, 0.25),
        tail="thin",
        patterns=("plain", "stripes", "patches", "belly", "points"),
        irises=(GREEN, AMBER, BLUE),
    ),
    "dog": Breed(
        share=5,
        coats=_coats(
            "c98a4b fbeedb 7a4a24, f3e7d3 fffaf0 8a5a34, 7b5235 e3c6a2 45291a",
            "b9b2a8 f7f3ec 5c554e, 4a4140 c9a98a 2a2322, e3b768 fff3d6 a9752f",
        ),
        head=(0.96, 0.94),
        ear=Ear("flop", (0.74, -0.52), 2.5, 0.95, 0.2),
        eye=Eye((0.42, -0.12), 0.21),
        muzzle=Muzzle(0.48, 0.36, 0.42),
        nose=Nose("leather", 0.19, 0.13, 0.2),
        tail="thin",
        patterns=("plain", "patches", "belly", "gradient"),
        irises=(BROWN, BLACK),
    ),
    "bear": Breed(
        share=4,
        coats=_coats(
            "8a5a36 d9b48a 5b3820, 5d4334 b9977a 37261d, c79a6b f1dcb9 8a623c",
            "f2ece2 fffdf8 bdb3a6, 4b4a52 a8a29f 2c2b31",
        ),
        head=(1.06, 0.9),
        ear=Ear("round", (0.72, -0.62), 0.75, 0.3, 0.34),
        eye=Eye((0.4, -0.14), 0.2),
        muzzle=Muzzle(0.46, 0.34, 0.36),
        nose=Nose("leather", 0.2, 0.13, 0.18),
        tail="none",
        patterns=("plain", "belly", "panda", "gradient"),
        irises=(BLACK, BROWN),
    ),
    "rabbit": Breed(
        share=4,
        coats=_coats(
            "f6efe6 ffffff d8b9a4, a98a6d efe2cf 6e543e, 9a9ca3 ececec 63656d",
            "d9b68c fbf2e2 a47d52, 6f5646 d6c2ae 46342a, f2cfc4 fff3ef d39a90",
        ),
        head=(0.92, 0.92),
        ear=Ear("long", (0.36, -0.72), 0.22, 1.25, 0.24),
        eye=Eye((0.42, -0.12), 0.23),
        muzzle=Muzzle(0.34, 0.24, 0.4),
        nose=Nose("leather", 0.1, 0.075, 0.24),
        tail="puff",
        patterns=("plain", "belly", "patches", "points"),
        irises=(BROWN, BLACK, BLUE),
    ),
    "fox": Breed(
        share=4,
        coats=_coats("e2762f fff3e2 4a2a1c, d9622a fdeedd 3b2320, c9c4c4 fafafa 4e4a52, f0ece8 ffffff b7b0ac"),
        head=(1.08, 0.84),
        ear=Ear("cone", (0.64, -0.46), 0.3, 0.95, 0.36),
        eye=Eye((0.42, -0.1), 0.21),
        muzzle=Muzzle(0.34, 0.3, 0.42),
        nose=Nose("leather", 0.14, 0.11, 0.3),
        tail="bushy",
        patterns=("cheeks",),
        irises=(AMBER, BROWN),
    ),
    "owl": Breed(
        share=2,
        coats=_coats("9a6b43 f3dfbf 5f3f27, 8b8580 ece6dc 4f4a48, f3f0ea ffffff b9a993, b9854b fbe9c6 6e4826"),
        head=(1.06, 0.9),
        ear=Ear("tuft", (0.66, -0.55), 0.4, 0.5, 0.3),
        eye=Eye((0.4, -0.1), 0.3, glass=True),
        muzzle=Muzzle(0.0, 0.0, 0.3),
        nose=Nose("beak", 0.15, 0.3, 0.14),
        tail="none",
        patterns=("scallops",),
        irises=(from_hex("f0b22e"), from_hex("e88a2a"), from_hex("f3cf4d")),
    ),
    "penguin": Breed(
        share=2,
        coats=_coats("2e3440 fbfbf7 1c2028, 3f4f6b fbfbf7 26314a, 57606c f7f4ee 3a424d"),
        head=(0.96, 0.92),
        ear=Ear("none"),
        eye=Eye((0.34, -0.12), 0.2),
        muzzle=Muzzle(0.0, 0.0, 0.3),
        nose=Nose("bill", 0.2, 0.22, 0.2),
        tail="none",
        patterns=("penguin",),
        irises=(BLACK, BROWN),
    ),
    "mouse": Breed(
        share=3,
        coats=_coats("a7a3a6 f1ecea 77737a, b58f70 f5e7d6 7d5f48, f5f0ec ffffff d9c4bc, 7d6a5f d8c6b8 52443d"),
        head=(0.94, 0.88),
        ear=Ear("round", (0.74, -0.62), 0.7, 0.5, 0.54),
        eye=Eye((0.4, -0.06), 0.21),
        muzzle=Muzzle(0.32, 0.24, 0.42),
        nose=Nose("leather", 0.12, 0.1, 0.3),
        tail="thin",
        patterns=("plain", "belly"),
        irises=(BLACK,),
    ),
    "elephant": Breed(
        share=3,
        coats=_coats("9aa3b0 d9d6d8 6f7886, 8d8f98 cfcacc 62646d, a9b7c9 e3dfe6 78869a, b7a8a2 e6d9d2 85776f"),
        head=(0.92, 0.94),
        ear=Ear("fan", (0.72, -0.2), 1.35, 0.9, 0.62),
        eye=Eye((0.42, -0.16), 0.2),
        muzzle=Muzzle(0.0, 0.0, 0.5),
        nose=Nose("trunk", 0.26, 0.2, 0.16),
        tail="tuft",
        patterns=("plain", "belly"),
        irises=(BLACK, BROWN),
    ),
    "pig": Breed(
        share=3,
        coats=_coats("f2b4ac fbd6cd d08a84, f0c3b0 fbe2d6 cf9a83, e6a2a8 f8cfd0 bd747c, d8b59a f3dfce 9c7458"),
        head=(1.04, 0.9),
        ear=Ear("fold", (0.62, -0.62), 0.75, 0.5, 0.27),
        eye=Eye((0.46, -0.16), 0.2),
        muzzle=Muzzle(0.4, 0.28, 0.26),
        nose=Nose("snout", 0.36, 0.26, 0.24),
        tail="curl",
        patterns=("plain", "patches", "belly"),
        irises=(BLACK, BLUE),
    ),
    "lion": Breed(
        share=3,
        coats=_coats("e3b15f fbe8c2 a0602a, d9a456 f8e3bd 7f4a24, ecc584 fff1d6 b9702f"),
        head=(0.96, 0.9),
        ear=Ear("round", (0.68, -0.68), 0.7, 0.26, 0.28),
        eye=Eye((0.38, -0.14), 0.2),
        muzzle=Muzzle(0.42, 0.3, 0.38),
        nose=Nose("leather", 0.19, 0.12, 0.22),
        tail="tuft",
        patterns=("mane",),
        irises=(AMBER, BROWN),
    ),
    "frog": Breed(
        share=2,
        coats=_coats("7fae4a d9e8a4 4f7a2c, 5f9e6e cfe6bf 3a6e4a, a3b84a eef0b4 6d8028"),
        head=(1.12, 0.8),
        ear=Ear("none"),
        eye=Eye((0.52, -0.74), 0.27, glass=True),
        muzzle=Muzzle(0.0, 0.0, 0.2),
        nose=Nose("nostrils", 0.05, 0.04, 0.0),
        tail="none",
        patterns=("belly", "patches"),
        irises=(from_hex("f0c94a"), from_hex("e8a33a")),
    ),
}
