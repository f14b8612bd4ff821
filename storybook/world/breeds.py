"""The animals' proportions and coats. Lengths are in head radii; v is down, so eyes have a negative v."""

from __future__ import annotations

from dataclasses import dataclass

from storybook.world.paints import Colour


def _hex(code: str) -> Colour:
    return tuple(int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))


@dataclass(frozen=True)
class Coat:
    """Colours of an animal: main coat, light parts (muzzle, belly, paws), dark parts (pattern, ear tips)."""

    main: Colour
    light: Colour
    dark: Colour


def _coats(*codes: str) -> tuple[Coat, ...]:
    return tuple(Coat(*map(_hex, code.split())) for code in codes)


@dataclass(frozen=True)
class Breed:
    """Proportions of one animal family.

    Attributes:
        head: half width and half height of the head.
        ear: kind of ear: cone, round, long, flop, fan, fold, tuft, none.
        ear_at: (u, v) of the root of the right-hand ear on the head.
        ear_angle: angle of the ear from upright, outwards, radians.
        ear_length: length; ear_width: radius at the root.
        eye_at: (u, v) of the right-hand eye; eye: its radius (never below 0.2); glass: eyes without white.
        muzzle: half width, half height and v of the muzzle (0 wide: none).
        nose: half width, half height and v; nose_kind: leather, snout, beak, bill, trunk, nostrils.
        tail: thin, bushy, puff, curl, tuft, none.
        patterns: coat patterns it may have.
        coats: colours it may have.
        irises: colours of the eye.
    """

    coats: tuple[Coat, ...]
    head: tuple[float, float] = (1.0, 0.9)
    ear: str = "cone"
    ear_at: tuple[float, float] = (0.6, -0.58)
    ear_angle: float = 0.4
    ear_length: float = 0.75
    ear_width: float = 0.34
    eye_at: tuple[float, float] = (0.42, -0.12)
    eye: float = 0.22
    glass: bool = False
    muzzle: tuple[float, float, float] = (0.42, 0.3, 0.38)
    nose: tuple[float, float, float] = (0.14, 0.1, 0.2)
    nose_kind: str = "leather"
    tail: str = "thin"
    patterns: tuple[str, ...] = ("plain", "belly")
    irises: tuple[Colour, ...] = (_hex("3a2412"),)


GREEN, AMBER, BLUE, BROWN, BLACK = map(_hex, ("7fa83c", "d99a2b", "5b9fc8", "6b3f1d", "1b1512"))

PANDA = Coat(*map(_hex, ("f4f1ec", "ffffff", "2b2a2e")))

BREEDS: dict[str, Breed] = {
    "cat": Breed(
        _coats("e8964a fff1dc b45f1f", "8d8f98 eeeef0 55565f", "f4ece0 fffaf2 c99a6b", "3b3840 a9a4ab 1d1b22",
               "b08a63 f0e2cc 6a4a30", "d9b98c fbf1de 5d4433"),
        head=(1.04, 0.86), ear_at=(0.62, -0.5), ear_angle=0.32, ear_length=0.72, ear_width=0.36, eye=0.24, glass=True,
        muzzle=(0.34, 0.22, 0.4), nose=(0.1, 0.075, 0.25), patterns=("plain", "stripes", "patches", "belly", "points"),
        irises=(GREEN, AMBER, BLUE),
    ),
    "dog": Breed(
        _coats("c98a4b fbeedb 7a4a24", "f3e7d3 fffaf0 8a5a34", "7b5235 e3c6a2 45291a", "b9b2a8 f7f3ec 5c554e",
               "4a4140 c9a98a 2a2322", "e3b768 fff3d6 a9752f"),
        head=(0.96, 0.94), ear="flop", ear_at=(0.74, -0.52), ear_angle=2.5, ear_length=0.95, ear_width=0.2, eye=0.21,
        muzzle=(0.48, 0.36, 0.42), nose=(0.19, 0.13, 0.2), tail="thin",
        patterns=("plain", "patches", "belly", "gradient"), irises=(BROWN, BLACK),
    ),
    "bear": Breed(
        _coats("8a5a36 d9b48a 5b3820", "5d4334 b9977a 37261d", "c79a6b f1dcb9 8a623c", "f2ece2 fffdf8 bdb3a6",
               "4b4a52 a8a29f 2c2b31"),
        head=(1.06, 0.9), ear="round", ear_at=(0.72, -0.62), ear_angle=0.75, ear_length=0.3, ear_width=0.34, eye=0.2,
        eye_at=(0.4, -0.14), muzzle=(0.46, 0.34, 0.36), nose=(0.2, 0.13, 0.18), tail="none",
        patterns=("plain", "belly", "panda", "gradient"), irises=(BLACK, BROWN),
    ),
    "rabbit": Breed(
        _coats("f6efe6 ffffff d8b9a4", "a98a6d efe2cf 6e543e", "9a9ca3 ececec 63656d", "d9b68c fbf2e2 a47d52",
               "6f5646 d6c2ae 46342a", "f2cfc4 fff3ef d39a90"),
        head=(0.92, 0.92), ear="long", ear_at=(0.36, -0.72), ear_angle=0.22, ear_length=1.25, ear_width=0.24, eye=0.23,
        muzzle=(0.34, 0.24, 0.4), nose=(0.1, 0.075, 0.24), tail="puff",
        patterns=("plain", "belly", "patches", "points"), irises=(BROWN, BLACK, BLUE),
    ),
    "fox": Breed(
        _coats("e2762f fff3e2 4a2a1c", "d9622a fdeedd 3b2320", "c9c4c4 fafafa 4e4a52", "f0ece8 ffffff b7b0ac"),
        head=(1.08, 0.84), ear_at=(0.64, -0.46), ear_angle=0.3, ear_length=0.95, ear_width=0.36, eye=0.21,
        eye_at=(0.42, -0.1), muzzle=(0.34, 0.3, 0.42), nose=(0.14, 0.11, 0.3), tail="bushy", patterns=("cheeks",),
        irises=(AMBER, BROWN),
    ),
    "owl": Breed(
        _coats("9a6b43 f3dfbf 5f3f27", "8b8580 ece6dc 4f4a48", "f3f0ea ffffff b9a993", "b9854b fbe9c6 6e4826"),
        head=(1.06, 0.9), ear="tuft", ear_at=(0.66, -0.55), ear_angle=0.4, ear_length=0.5, ear_width=0.3, eye=0.3,
        eye_at=(0.4, -0.1), glass=True, muzzle=(0.0, 0.0, 0.3), nose=(0.15, 0.3, 0.14), nose_kind="beak", tail="none",
        patterns=("scallops",), irises=(_hex("f0b22e"), _hex("e88a2a"), _hex("f3cf4d")),
    ),
    "penguin": Breed(
        _coats("2e3440 fbfbf7 1c2028", "3f4f6b fbfbf7 26314a", "57606c f7f4ee 3a424d"),
        head=(0.96, 0.92), ear="none", ear_at=(0.9, -0.2), ear_angle=0.5, ear_length=0.0, eye=0.2, eye_at=(0.34, -0.12),
        muzzle=(0.0, 0.0, 0.3), nose=(0.2, 0.22, 0.2), nose_kind="bill", tail="none", patterns=("penguin",),
        irises=(BLACK, BROWN),
    ),
    "mouse": Breed(
        _coats("a7a3a6 f1ecea 77737a", "b58f70 f5e7d6 7d5f48", "f5f0ec ffffff d9c4bc", "7d6a5f d8c6b8 52443d"),
        head=(0.94, 0.88), ear="round", ear_at=(0.74, -0.62), ear_angle=0.7, ear_length=0.5, ear_width=0.54, eye=0.21,
        eye_at=(0.4, -0.06), muzzle=(0.32, 0.24, 0.42), nose=(0.12, 0.1, 0.3), tail="thin", patterns=("plain", "belly"),
        irises=(BLACK,),
    ),
    "elephant": Breed(
        _coats("9aa3b0 d9d6d8 6f7886", "8d8f98 cfcacc 62646d", "a9b7c9 e3dfe6 78869a", "b7a8a2 e6d9d2 85776f"),
        head=(0.92, 0.94), ear="fan", ear_at=(0.72, -0.2), ear_angle=1.35, ear_length=0.9, ear_width=0.62, eye=0.2,
        eye_at=(0.42, -0.16), muzzle=(0.0, 0.0, 0.5), nose=(0.26, 0.2, 0.16), nose_kind="trunk", tail="tuft",
        patterns=("plain", "belly"), irises=(BLACK, BROWN),
    ),
    "pig": Breed(
        _coats("f2b4ac fbd6cd d08a84", "f0c3b0 fbe2d6 cf9a83", "e6a2a8 f8cfd0 bd747c", "d8b59a f3dfce 9c7458"),
        head=(1.04, 0.9), ear="fold", ear_at=(0.62, -0.62), ear_angle=0.75, ear_length=0.5, ear_width=0.27, eye=0.2,
        eye_at=(0.46, -0.16), muzzle=(0.4, 0.28, 0.26), nose=(0.36, 0.26, 0.24), nose_kind="snout", tail="curl",
        patterns=("plain", "patches", "belly"), irises=(BLACK, BLUE),
    ),
    "lion": Breed(
        _coats("e3b15f fbe8c2 a0602a", "d9a456 f8e3bd 7f4a24", "ecc584 fff1d6 b9702f"),
        head=(0.96, 0.9), ear="round", ear_at=(0.68, -0.68), ear_angle=0.7, ear_length=0.26, ear_width=0.28, eye=0.2,
        eye_at=(0.38, -0.14), muzzle=(0.42, 0.3, 0.38), nose=(0.19, 0.12, 0.22), tail="tuft", patterns=("mane",),
        irises=(AMBER, BROWN),
    ),
    "frog": Breed(
        _coats("7fae4a d9e8a4 4f7a2c", "5f9e6e cfe6bf 3a6e4a", "a3b84a eef0b4 6d8028"),
        head=(1.12, 0.8), ear="none", ear_at=(0.9, -0.2), ear_length=0.0, eye=0.27, eye_at=(0.52, -0.74), glass=True,
        muzzle=(0.0, 0.0, 0.2), nose=(0.05, 0.04, 0.0), nose_kind="nostrils", tail="none",
        patterns=("belly", "patches"), irises=(_hex("f0c94a"), _hex("e8a33a")),
    ),
}  # fmt: skip
