"""libvpx's VP8 encoder itself, for the one thing FFmpeg's wrapper cannot do: change its bitrate
while it runs.

The library is the one that PyAV brings and has loaded already. Structures are those of libvpx's
`vpx/vpx_encoder.h` and `vpx/vpx_image.h`; only their beginnings are named, as far as they are
used: what follows differs from release to release and stays what `vpx_codec_enc_config_default`
made it. Whether they fit the library is checked against those defaults before anything is encoded.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_uint, c_ulong, c_void_p
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any

import av

_ENCODER_ABI = 39
"""VPX_ENCODER_ABI_VERSION of libvpx 1.16, PyAV 18's."""
_REALTIME = 1  # deadline, microseconds: VPX_DL_REALTIME
_FORCE_KEYFRAME = 1  # VPX_EFLAG_FORCE_KF
_FRAME_IS_KEY = 1  # VPX_FRAME_IS_KEY
_FRAME_PACKET = 0  # VPX_CODEC_CX_FRAME_PKT
_I420 = 0x102  # VPX_IMG_FMT_I420
_CONSTANT_BITRATE = 1  # VPX_CBR
_CPU_USED, _NOISE_SENSITIVITY, _STATIC_THRESHOLD = 13, 15, 17  # of `enum vp8e_enc_control_id`
_BUFFER_MS = 600
_ROOM = 4096  # bytes, many times what a configuration takes in any release


class _Buffer(ctypes.Structure):
    _fields_ = (("buf", c_void_p), ("sz", ctypes.c_size_t))


class _Rational(ctypes.Structure):
    _fields_ = (("num", c_int), ("den", c_int))


class _Config(ctypes.Structure):
    """The beginning of `vpx_codec_enc_cfg_t`."""

    _fields_ = (
        ("g_usage", c_uint),
        ("g_threads", c_uint),
        ("g_profile", c_uint),
        ("g_w", c_uint),
        ("g_h", c_uint),
        ("g_bit_depth", c_int),
        ("g_input_bit_depth", c_uint),
        ("g_timebase", _Rational),
        ("g_error_resilient", c_uint),
        ("g_pass", c_int),
        ("g_lag_in_frames", c_uint),
        ("rc_dropframe_thresh", c_uint),
        ("rc_resize_allowed", c_uint),
        ("rc_scaled_width", c_uint),
        ("rc_scaled_height", c_uint),
        ("rc_resize_up_thresh", c_uint),
        ("rc_resize_down_thresh", c_uint),
        ("rc_end_usage", c_int),
        ("rc_twopass_stats_in", _Buffer),
        ("rc_firstpass_mb_stats_in", _Buffer),
        ("rc_target_bitrate", c_uint),
        ("rc_min_quantizer", c_uint),
        ("rc_max_quantizer", c_uint),
        ("rc_undershoot_pct", c_uint),
        ("rc_overshoot_pct", c_uint),
        ("rc_buf_sz", c_uint),
        ("rc_buf_initial_sz", c_uint),
        ("rc_buf_optimal_sz", c_uint),
        ("rc_2pass_vbr_bias_pct", c_uint),
        ("rc_2pass_vbr_minsection_pct", c_uint),
        ("rc_2pass_vbr_maxsection_pct", c_uint),
        ("rc_2pass_vbr_corpus_complexity", c_uint),
        ("kf_mode", c_int),
        ("kf_min_dist", c_uint),
        ("kf_max_dist", c_uint),
        ("rest", ctypes.c_ubyte * _ROOM),
    )


class _Context(ctypes.Structure):
    """`vpx_codec_ctx_t`."""

    _fields_ = (
        ("name", c_char_p),
        ("iface", c_void_p),
        ("err", c_int),
        ("err_detail", c_char_p),
        ("init_flags", ctypes.c_long),
        ("config", c_void_p),
        ("priv", c_void_p),
    )


class _Image(ctypes.Structure):
    """`vpx_image_t`."""

    _fields_ = (
        ("fmt", c_int),
        ("cs", c_int),
        ("range", c_int),
        ("w", c_uint),
        ("h", c_uint),
        ("bit_depth", c_uint),
        ("d_w", c_uint),
        ("d_h", c_uint),
        ("r_w", c_uint),
        ("r_h", c_uint),
        ("x_chroma_shift", c_uint),
        ("y_chroma_shift", c_uint),
        ("planes", c_void_p * 4),
        ("stride", c_int * 4),
        ("bps", c_int),
        ("user_priv", c_void_p),
        ("img_data", c_void_p),
        ("img_data_owner", c_int),
        ("self_allocd", c_int),
        ("fb_priv", c_void_p),
    )


class _Frame(ctypes.Structure):
    """The `frame` of `vpx_codec_cx_pkt_t`."""

    _fields_ = (
        ("buf", c_void_p),
        ("sz", ctypes.c_size_t),
        ("pts", c_int64),
        ("duration", c_ulong),
        ("flags", ctypes.c_uint32),
    )


class _Packet(ctypes.Structure):
    """The beginning of `vpx_codec_cx_pkt_t`."""

    _fields_ = (("kind", c_int), ("frame", _Frame))


class VpxError(RuntimeError):
    """libvpx refused something, or is not the library that this was written for."""


@cache
def _library() -> Any:
    """PyAV's libvpx, its functions typed.

    Raises:
        VpxError: there is none, or its structures are others.
    """
    found = [path for path in files("av") or () if "libvpx" in path.name]
    if not found:
        raise VpxError("PyAV came without its own libvpx: install its wheel")
    library = ctypes.CDLL(str(Path(str(found[0].locate()))))
    for name, result, arguments in (
        ("vpx_codec_vp8_cx", c_void_p, ()),
        ("vpx_codec_version_str", c_char_p, ()),
        ("vpx_codec_enc_config_default", c_int, (c_void_p, POINTER(_Config), c_uint)),
        (
            "vpx_codec_enc_init_ver",
            c_int,
            (POINTER(_Context), c_void_p, POINTER(_Config), ctypes.c_long, c_int),
        ),
        ("vpx_codec_enc_config_set", c_int, (POINTER(_Context), POINTER(_Config))),
        (
            "vpx_codec_encode",
            c_int,
            (POINTER(_Context), POINTER(_Image), c_int64, c_ulong, ctypes.c_long, c_ulong),
        ),
        ("vpx_codec_control_", c_int, (POINTER(_Context), c_int)),  # and a value
        ("vpx_codec_get_cx_data", POINTER(_Packet), (POINTER(_Context), POINTER(c_void_p))),
        ("vpx_codec_destroy", c_int, (POINTER(_Context),)),
        ("vpx_codec_err_to_string", c_char_p, (c_int,)),
        ("vpx_img_wrap", c_void_p, (POINTER(_Image), c_int, c_uint, c_uint, c_uint, c_void_p)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    defaults = _default(library)
    known = defaults.g_w, defaults.g_h, defaults.g_timebase.den, defaults.rc_target_bitrate
    if known != (320, 240, 30, 256) or defaults.kf_max_dist != 128:
        version = library.vpx_codec_version_str().decode()
        raise VpxError(f"libvpx {version} lays its configuration out otherwise: {known}")
    return library


def _default(library: Any) -> _Config:
    config = _Config()
    _check(library, library.vpx_codec_enc_config_default(library.vpx_codec_vp8_cx(), config, 0))
    return config


def _check(library: Any, status: int) -> None:
    if status:
        raise VpxError(library.vpx_codec_err_to_string(status).decode())


class Vp8:
    """One VP8 stream in real time at a constant bitrate; no lag, key frames on request.

    Args:
        time_base_hz: of the times given to `encode`.

    Raises:
        VpxError: PyAV's libvpx is not there or not the one known, or refuses the size.
    """

    def __init__(self, width: int, height: int, bps: int, time_base_hz: int) -> None:
        self._context: _Context | None = None  # first, for `__del__` sees also what failed
        self.width, self.height = width, height
        self._library = library = _library()
        self._config = config = _default(library)
        self._image = _Image()
        config.g_w, config.g_h, config.g_threads = width, height, 1
        config.g_timebase = _Rational(1, time_base_hz)
        config.g_error_resilient = 1  # VPX_ERROR_RESILIENT_DEFAULT: what is lost spoils less
        config.g_lag_in_frames = 0
        config.rc_end_usage = _CONSTANT_BITRATE
        config.rc_target_bitrate = bps // 1000
        config.rc_min_quantizer, config.rc_max_quantizer = 2, 56
        config.rc_undershoot_pct, config.rc_overshoot_pct = 100, 15
        config.rc_buf_sz = _BUFFER_MS
        config.rc_buf_initial_sz = _BUFFER_MS * 3 // 4
        config.rc_buf_optimal_sz = _BUFFER_MS * 5 // 6
        config.kf_max_dist = 3_000
        context = _Context()
        iface = library.vpx_codec_vp8_cx()
        _check(library, library.vpx_codec_enc_init_ver(context, iface, config, 0, _ENCODER_ABI))
        self._context = context
        for control, value in ((_CPU_USED, -8), (_NOISE_SENSITIVITY, 0), (_STATIC_THRESHOLD, 1)):
            status = library.vpx_codec_control_(context, control, c_int(value))
            _check(library, status)

    def __del__(self) -> None:
        if self._context is not None:
            self._library.vpx_codec_destroy(self._context)
            self._context = None

    def set_bitrate(self, bps: int) -> None:
        """Aim at another bitrate from the next frame on; no key frame follows."""
        if bps // 1000 != self._config.rc_target_bitrate:
            self._config.rc_target_bitrate = bps // 1000
            status = self._library.vpx_codec_enc_config_set(self._context, self._config)
            _check(self._library, status)

    def encode(
        self, frame: av.VideoFrame, pts: int, duration: int, *, keyframe: bool
    ) -> tuple[bytes, bool]:
        """A yuv420p frame of the stream's size to VP8, and whether that is a key frame. The frame
        is read only. Empty where the encoder left it out, to keep to its bitrate."""
        if (frame.width, frame.height) != (self.width, self.height):
            raise ValueError(
                f"a frame of {frame.width} x {frame.height} in a stream of "
                f"{self.width} x {self.height}"
            )
        library, image, planes = self._library, self._image, tuple(frame.planes)
        library.vpx_img_wrap(
            image, _I420, frame.width, frame.height, 1, c_void_p(planes[0].buffer_ptr)
        )
        for n, plane in enumerate(planes):
            image.planes[n], image.stride[n] = plane.buffer_ptr, plane.line_size
        flags = _FORCE_KEYFRAME if keyframe else 0
        _check(
            library,
            library.vpx_codec_encode(self._context, image, pts, duration, flags, _REALTIME),
        )
        encoded, is_key, position = b"", False, c_void_p()
        while packet := library.vpx_codec_get_cx_data(self._context, byref(position)):
            if packet.contents.kind == _FRAME_PACKET:
                made = packet.contents.frame
                encoded += ctypes.string_at(made.buf, made.sz)
                is_key = is_key or bool(made.flags & _FRAME_IS_KEY)
        return encoded, is_key
