#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small odd image files and the pixels clr must read from them (see README.md beside)."""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
import PIL
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
CASES = []


def picture(height=18, width=26):
    """A smooth colourful picture whose four corners differ, so that a rotation shows."""
    y, x = np.mgrid[0:height, 0:width]
    u, v = x / (width - 1), y / (height - 1)
    rgb = np.stack([0.9 * u + 0.05, 0.8 * v + 0.1, 0.5 + 0.45 * np.sin(6 * u * v + 2 * v)], -1)
    rgb[2:6, 3:9] = [0.95, 0.1, 0.1]
    return np.rint(rgb * 255).astype(np.uint8)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(array, depth, color_type, width=None, height=None):
    """A PNG from scratch (Pillow writes no 16-bit colour); array [H, W] or [H, W, C]."""
    rows = array.astype(">u2" if depth == 16 else "u1").reshape(array.shape[0], -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width or array.shape[1], height or array.shape[0], depth,
                         color_type, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
            chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def pillow_rgb(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def good(name, data, expected=None, note=""):
    """A file that decodes; the expected pixels are Pillow's unless given."""
    pixels = pillow_rgb(data) if expected is None else expected
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, name
    (HERE / name).write_bytes(data)
    np.save(HERE / f"{name}.npy", np.ascontiguousarray(pixels))
    CASES.append({"file": name, "expected": f"{name}.npy", "note": note})


def bad(name, data, note):
    (HERE / name).write_bytes(data)
    CASES.append({"file": name, "error": "data", "note": note})


def scale16(values):
    return np.floor(values / 257.0 + 0.5).astype(np.uint8)


def scan_start(jpeg):
    """Offset of the first entropy-coded byte."""
    sos = jpeg.index(b"\xff\xda")
    return sos + 2 + struct.unpack(">H", jpeg[sos + 2:sos + 4])[0]


def jpegs(rgb):
    image = Image.fromarray(rgb)
    plain = encoded(image, "JPEG", quality=90, subsampling=0)
    good("plain_444.jpg", plain)
    good("plain_420.jpg", encoded(image, "JPEG", quality=85, subsampling=2))
    good("plain_422.jpg", encoded(image, "JPEG", quality=85, subsampling=1))
    good("gray.jpg", encoded(image.convert("L"), "JPEG", quality=90), note="three equal channels")
    good("progressive.jpg", encoded(image, "JPEG", quality=90, progressive=True))
    good("one_pixel.jpg", encoded(image.crop((4, 3, 5, 4)), "JPEG", quality=90))

    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = encoded(image, "JPEG", quality=90, exif=exif)
    assert Image.open(io.BytesIO(rotated)).getexif()[0x0112] == 6
    good("exif_orientation_6.jpg", rotated, note="orientation ignored: 26 wide, 18 high")

    # Adobe's inverted CMYK, as Photoshop and Pillow write it.
    ink = 255 - rgb.astype(np.int32)
    black = ink.min(axis=2) // 2
    cmyk = np.concatenate([np.clip(ink - black[..., None], 0, 255), black[..., None]], -1)
    cmyk_image = Image.frombytes("CMYK", image.size, cmyk.astype(np.uint8).tobytes())
    cmyk_jpeg = encoded(cmyk_image, "JPEG", quality=92)
    good("cmyk_adobe.jpg", cmyk_jpeg,
         note="inverted samples: C = 255 - sample; then Pillow's CMYK to RGB formula")

    # YCCK: the same container with Adobe's transform flag 2, which makes a decoder read the first
    # three channels as YCbCr (of the inks). Pillow stores 255 - value, so hand it the complement.
    inks = Image.fromarray(cmyk[..., :3].astype(np.uint8))
    ycc = np.asarray(inks.convert("YCbCr"))
    k_sample = 255 - black[..., None]
    ycck = np.concatenate([ycc, k_sample], -1).astype(np.uint8)
    complement = Image.frombytes("CMYK", image.size, (255 - ycck).tobytes())
    data = bytearray(encoded(complement, "JPEG", quality=92))
    adobe = data.index(b"Adobe")
    assert data[adobe - 4:adobe - 2] == b"\xff\xee" and data[adobe + 11] == 0
    data[adobe + 11] = 2
    good("ycck_adobe.jpg", bytes(data), note="Adobe transform 2; then as cmyk_adobe.jpg")

    good("trailing_garbage.jpg", plain + b"garbage after the end of the image\x00\xff\xd8",
         note="bytes after EOI are ignored")

    start = scan_start(plain)
    half = start + (len(plain) - start) // 2
    bad("truncated.jpg", plain[:half], "cut off in the middle of the scan")
    bad("early_end.jpg", plain[:half] + b"\xff\xd9",
        "EOI in the middle of the scan: a libjpeg warning counts as corrupt")
    bad("header_only.jpg", plain[:start], "no scan data at all")
    bad("empty.jpg", b"", "no bytes")
    bad("garbage.jpg", b"this is a text file, not an image\n" * 4, "no known format")


def pngs(rgb):
    image = Image.fromarray(rgb)
    height, width = rgb.shape[:2]
    plain = encoded(image, "PNG", optimize=True)
    good("plain.png", plain)
    good("png_named.jpg", plain, note="recognised by content")
    good("gray.png", encoded(image.convert("L"), "PNG"))

    y, x = np.mgrid[0:height, 0:width]
    gray16 = ((x * 2617 + y * 3643) % 65536).astype(np.uint16)
    gray16[0, :6] = [0, 128, 129, 257, 65407, 65535]  # 128 rounds down, 129 up
    good("gray16.png", png(gray16, 16, 0), np.repeat(scale16(gray16)[..., None], 3, -1),
         "16 bits: value / 257, rounded")
    rgb16 = np.stack([gray16, gray16[::-1], (gray16.astype(int) * 7 % 65536)], -1)
    good("rgb16.png", png(rgb16, 16, 2), scale16(rgb16), "16 bits: value / 257, rounded")
    rgba16 = np.concatenate([rgb16, gray16[:, ::-1, None]], -1)
    good("rgba16.png", png(rgba16, 16, 6), scale16(rgb16), "16 bits; alpha dropped")

    alpha = (x * 255 // (width - 1)).astype(np.uint8)
    rgba = np.concatenate([rgb, alpha[..., None]], -1)
    good("rgba.png", encoded(Image.fromarray(rgba, "RGBA"), "PNG"), rgb,
         "alpha dropped, not blended")
    la = np.stack([rgb[..., 0], alpha], -1)
    good("gray_alpha.png", encoded(Image.fromarray(la, "LA"), "PNG"),
         np.repeat(rgb[..., :1], 3, -1), "alpha dropped, not blended")

    palette = image.quantize(24)
    good("palette.png", encoded(palette, "PNG"))
    good("palette_transparent.png", encoded(palette, "PNG", transparency=3),
         np.asarray(palette.convert("RGB")), "transparent colour kept as it is")
    good("one_bit.png", encoded(image.convert("1"), "PNG"), note="0 and 255")

    bad("truncated.png", plain[:len(plain) * 2 // 3], "cut off in the middle of IDAT")
    bad("bomb.png", png(rgb[:1, :1], 8, 2, width=60000, height=60000),
        "the header asks for 3.6e9 pixels: refused before allocation")


def others(rgb):
    image = Image.fromarray(rgb)
    good("plain.bmp", encoded(image, "BMP"))
    good("lossless.webp", encoded(image, "WEBP", lossless=True), rgb)
    colors = image.quantize(16)
    good("animation.gif", encoded(colors, "GIF", save_all=True,
                                  append_images=[colors.transpose(Image.FLIP_LEFT_RIGHT)]),
         note="the first picture")
    good("interlaced.gif", encoded(colors, "GIF", interlace=1))
    good("transparent.gif", encoded(colors, "GIF", transparency=3), note="as a palette's: dropped")
    bad("truncated.gif", encoded(colors, "GIF")[:-40], "the file ends early")
    # AVIF and HEIF decoders may round differently: compared with a tolerance.
    (HERE / "photo.avif").write_bytes(encoded(image, "AVIF", quality=100, subsampling="4:4:4"))
    np.save(HERE / "photo.avif.npy", pillow_rgb((HERE / "photo.avif").read_bytes()))
    (HERE / "truncated.avif").write_bytes((HERE / "photo.avif").read_bytes()[:-60])


def main():
    for old in HERE.iterdir():
        if old.suffix not in (".py", ".md") and ".heic" not in old.name:
            old.unlink()
    rgb = picture()
    jpegs(rgb)
    pngs(rgb)
    others(rgb)
    lines = ",\n".join("    " + json.dumps(case) for case in CASES)
    version = json.dumps(PIL.__version__)
    (HERE / "cases.json").write_text(
        '{\n  "pillow": %s,\n  "cases": [\n%s\n  ]\n}\n' % (version, lines))
    largest = max((f.stat().st_size, f.name) for f in HERE.iterdir() if f.suffix != ".py")
    print(f"{len(CASES)} cases, largest file {largest}")


if __name__ == "__main__":
    main()
