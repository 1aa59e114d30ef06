"""Writes the small pictures of the decode parity test and what Pillow makes of them (run once, with Pillow 12.3).

python test/golden/decode/make_pictures.py
"""

import hashlib
import json
import struct
import zlib
from pathlib import Path

import PIL
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

FOLDER = Path(__file__).parent
WIDTH, HEIGHT = 23, 17


def scene() -> Image.Image:
    """Gradients with a hard edge and some texture; odd sizes, so that chroma subsampling has a border."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            edge = 90 if x > 11 else 0
            image.putpixel((x, y), ((x * 11 + edge) % 256, (y * 15 + (x * y) % 7 * 9) % 256, (x * 5 + y * 9) % 256))
    return image


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG from raw rows, for what Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep(channels: int) -> bytes:
    """Rows of 16-bit samples whose low bytes matter."""
    rows = bytearray()
    for y in range(HEIGHT):
        rows.append(0)
        for x in range(WIDTH):
            for c in range(channels):
                rows += struct.pack(">H", (x * 2803 + y * 1499 + c * 20011) % 65536)
    return bytes(rows)


def write_pictures() -> None:
    rgb = scene()
    alpha = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    grey = rgb.convert("L")
    palette = rgb.quantize(16)
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", struct.pack(">I", 100000))

    def save(image: Image.Image, name: str, **options: object) -> None:
        image.save(FOLDER / name, **options)

    save(rgb, "rgb.png")
    save(grey, "grey.png")
    save(palette, "palette.png")
    save(rgb.convert("1"), "one-bit.png")
    save(Image.merge("LA", (grey, alpha)), "grey-alpha.png")
    save(rgba, "rgb-alpha.png")
    save(palette, "palette-transparency.png", transparency=bytes(range(0, 256, 16)))
    save(rgb, "gamma.png", pnginfo=gamma)
    save(rgb, "srgb-profile.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (FOLDER / "rgb-16-bit.png").write_bytes(png(WIDTH, HEIGHT, 16, 2, deep(3)))
    (FOLDER / "grey-16-bit.png").write_bytes(png(WIDTH, HEIGHT, 16, 0, deep(1)))
    save(rgb, "420.jpg", quality=85, subsampling=2)
    save(rgb, "444.jpg", quality=85, subsampling=0)
    save(rgb, "progressive.jpg", quality=85, progressive=True)
    save(grey, "grey.jpg", quality=85)
    save(rgb.convert("CMYK"), "cmyk.jpg", quality=85)
    save(rgb, "lossy.webp", quality=80)
    save(rgb, "lossless.webp", lossless=True)
    save(rgb, "lzw.tiff", compression="tiff_lzw")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(rgb, f"orientation-{orientation}.jpg", quality=85, exif=exif)


def expectation(path: Path) -> dict[str, object]:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return {"width": image.width, "height": image.height, "sha256": hashlib.sha256(image.tobytes()).hexdigest()}


if __name__ == "__main__":
    write_pictures()
    files = sorted(path for path in FOLDER.iterdir() if path.suffix in {".png", ".jpg", ".webp", ".tiff"})
    golden = {"pillow": PIL.__version__, "files": {path.name: expectation(path) for path in files}}
    (FOLDER / "expected.json").write_text(json.dumps(golden, indent=2) + "\n")
