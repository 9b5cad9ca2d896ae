"""Makes pictures/ and pictures.npz: small image files, and the RGB samples that Pillow reads from each.

The samples are those of `ImageOps.exif_transpose(Image.open(path)).convert("RGB")`, with two exceptions that the command
line's contract asks for: what is transparent is laid over white (`convert` drops alpha), and 16-bit grey is cut to its high
byte (`convert` clips it at 255, which leaves white).

    pip install pillow==13.0.0 numpy==2.4.6
    python tests/golden/pictures.py
"""

import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

here = pathlib.Path(__file__).parent
folder = here / "pictures"
rng = np.random.default_rng(20260801)
HEIGHT, WIDTH = 20, 28


def smooth(channels, top=255):
    """Waves with a little noise: neighbouring samples differ, and lossy codecs have something to lose."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [np.sin(x / (3 + c) + c) * np.cos(y / (4 - c / 2)) for c in range(channels)]
    samples = np.stack(waves, -1) * 0.45 + 0.5 + rng.uniform(-0.05, 0.05, (HEIGHT, WIDTH, channels))
    return np.rint(samples * top).astype(np.uint16 if top > 255 else np.uint8)


def png(path, samples, depth, colour, *chunks):
    """A PNG of a depth and colour type that Pillow does not write. Rows are packed already."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row for row in samples)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    body = b"".join(chunk(kind, data) for kind, data in [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")])
    (folder / path).write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def sixteen(channels):
    return [row.astype(">u2").tobytes() for row in smooth(channels, 65535).reshape(HEIGHT, -1)]


def make():
    rgb, grey, alpha = Image.fromarray(smooth(3)), Image.fromarray(smooth(1)[..., 0]), smooth(1)[..., 0]
    alpha[:4], alpha[-4:] = 0, 255
    alpha = Image.fromarray(alpha)
    rgba = rgb.copy()
    rgba.putalpha(alpha)

    def save(picture, path, **options):
        picture.save(folder / path, **options)

    save(rgb, "rgb.png")
    save(grey, "grey.png")
    save(rgba, "rgba.png")
    save(Image.merge("LA", (grey, alpha)), "grey_alpha.png")
    save(grey.convert("1"), "one_bit.png")
    png("two_bits.png", [rng.bytes(WIDTH * 2 // 8) for _ in range(HEIGHT)], 2, 0)
    png("four_bits.png", [rng.bytes(WIDTH * 4 // 8) for _ in range(HEIGHT)], 4, 0)
    png("grey_16.png", sixteen(1), 16, 0)
    png("rgb_16.png", sixteen(3), 16, 2)
    png("grey_alpha_16.png", sixteen(2), 16, 4)
    png("rgba_16.png", sixteen(4), 16, 6)
    png("rgb_key.png", [row.tobytes() for row in np.asarray(rgb)], 8, 2, (b"tRNS", np.asarray(rgb)[3, 3].astype(">u2").tobytes()))
    palette = rgb.quantize(60)
    save(palette, "palette.png")
    save(palette, "palette_alpha.png", transparency=bytes(range(0, 240, 4)))
    save(rgb.quantize(14), "palette_4_bits.png", bits=4)

    save(rgb, "rgb.jpg", quality=85)
    save(rgb, "rgb_444.jpg", quality=95, subsampling=0)
    save(rgb, "progressive.jpg", quality=70, progressive=True)
    save(grey, "grey.jpg", quality=80)
    save(rgb.convert("CMYK"), "cmyk.jpg", quality=90)
    cmyk = Image.fromarray(smooth(4), "CMYK")
    save(cmyk, "cmyk_black.jpg", quality=90)
    ycck(cmyk, "ycck.jpg")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(rgb, f"exif_{orientation}.jpg", quality=90, exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(rgb, "exif_6.png", exif=exif)
    save(rgb, "exif_6.webp", exif=exif, lossless=True)

    save(rgb, "lossy.webp", quality=80)
    save(rgba, "lossy_alpha.webp", quality=80)
    save(rgb, "lossless.webp", lossless=True)
    save(rgba, "lossless_alpha.webp", lossless=True, exact=True)


def ycck(cmyk, path):
    """The scan of a CMYK file with an Adobe marker that says YCCK: other colours, but a file of that kind."""
    file = io.BytesIO()
    cmyk.save(file, "JPEG", quality=90)
    data = bytearray(file.getvalue())
    adobe = data.find(b"Adobe")
    assert adobe > 0 and data[adobe + 11] == 0
    data[adobe + 11] = 2
    (folder / path).write_bytes(data)


def expected(path):
    picture = Image.open(path)
    if picture.mode == "I;16":
        grey = (np.asarray(ImageOps.exif_transpose(picture)) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, -1)
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB"))


folder.mkdir(exist_ok=True)
make()
np.savez_compressed(here / "pictures.npz", **{path.name: expected(path) for path in sorted(folder.iterdir())})
