"""Sound files as a source: hops that no chunking changes, damage played on, channels mixed."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sound_files import write_sound
from realtime.media import HOP_SAMPLES, VOICE_SAMPLES
from realtime.sources.file import FileSource, Mix, choose_mix, survey
from realtime.sources.sound_file import Damage, decode
from realtime.sources.source import Playback
from tests.support.damage import cut, damage
from tests.support.sounds import SPEECH

MONO = SPEECH[20_000 : 20_000 + VOICE_SAMPLES * 12 + 500]
STEREO = np.stack([MONO, np.roll(MONO, 3_000)], axis=1)


def cut_at(sound, lengths):
    cuts = np.cumsum(lengths)
    return np.split(sound, cuts[cuts < len(sound)])


def hops_of(source, tail=0):
    """All hops up to the end, and `tail` more."""
    hops = []
    while source.end is None or source.end + tail * HOP_SAMPLES > len(hops) * HOP_SAMPLES:
        hops += source.pull(len(hops) / 25)
    return hops[: source.end // HOP_SAMPLES + tail]


def whole(path):
    found = Damage()
    return np.concatenate(list(decode(path, found))), found


@given(st.lists(st.integers(0, 5_000), max_size=60), st.sampled_from([MONO[:, None], STEREO]))
def test_hops_are_the_same_however_the_sound_was_cut(lengths, sound):
    expected = hops_of(FileSource([sound]), tail=2)
    got = hops_of(FileSource(cut_at(sound, lengths)), tail=2)
    assert [hop.start for hop in got] == [n * HOP_SAMPLES for n in range(15)]
    for hop, hop_ in zip(got, expected, strict=True):
        assert np.array_equal(hop.voice, hop_.voice)
        assert np.array_equal(hop.samples, hop_.samples)
        assert (hop.speech, hop.edges) == (hop_.speech, hop_.edges)


@pytest.mark.parametrize("sound", [MONO, STEREO])
def test_hops_hold_the_whole_sound_and_then_silence(sound):
    voices = [hop.voice for hop in hops_of(FileSource([sound.reshape(len(sound), -1)]))]
    assert {voice.shape for voice in voices} == {(VOICE_SAMPLES, *sound.shape[1:])}
    played = np.concatenate(voices)
    assert np.array_equal(played[: len(sound)], sound)
    assert not played[len(sound) :].any()


@pytest.mark.parametrize("sound", [MONO, STEREO])
def test_silence_of_the_same_shape_follows_the_end(sound):
    source = FileSource([sound.reshape(len(sound), -1)])
    *_, last = hops_of(source, tail=3)
    assert last.voice.shape == (VOICE_SAMPLES, *sound.shape[1:])
    assert not last.voice.any()
    assert source.end == 13 * HOP_SAMPLES == last.start - 2 * HOP_SAMPLES


def test_what_was_cleared_is_not_given():
    source = FileSource([MONO[:, None]])
    source.pull(0.0)
    source.played(HOP_SAMPLES // 2)
    assert source.clear() == Playback("cleared", 20)
    (hop,) = source.pull(0.0)
    assert source.end == hop.start == HOP_SAMPLES
    assert not hop.voice.any()


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.mka", "pcm_s16le")],
)
@pytest.mark.parametrize("sound", [MONO, STEREO])
def test_lossless_files_are_read_to_the_sample(tmp_path, name, codec, sound):
    path = write_sound(tmp_path / name, sound, codec, lengths=(1, 777, 4_801, 960))
    got, found = whole(path)
    assert np.array_equal(got, sound.reshape(len(sound), -1))
    assert found == Damage()


@pytest.mark.parametrize("lossy", ["a.mp3 mp3", "a.m4a aac", "a.ogg libopus", "a.webm libopus"])
def test_lossy_files_are_read_whole(tmp_path, lossy):
    name, codec = lossy.split()
    got, found = whole(write_sound(tmp_path / name, MONO, codec))
    assert abs(len(got) - len(MONO)) < 2_500
    assert found == Damage()


SWEEP = (9_000 * np.sin(2e-9 * np.arange(144_000.0) ** 2 * 300)).astype(np.int16)
"""Three seconds that are like themselves at no other time."""


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "mp3"), ("a.m4a", "aac")])
def test_a_damaged_stretch_is_played_past(tmp_path, name, codec):
    path = write_sound(tmp_path / name, SWEEP, codec)
    sound, _ = whole(path)
    got, found = whole(damage(path, 0.6, 400))
    assert found.stretches == 1
    assert 0.0 < found.silence_s < 1.0
    length = min(len(got), len(sound))
    assert length > 0.8 * len(sound)
    alike = np.isclose(got[:length, 0], sound[:length, 0], atol=300)
    assert alike[: length // 2].mean() > 0.99
    if codec == "aac":  # whose timestamps tell how long the gap is
        assert alike[int(0.8 * length) :].mean() > 0.99


def test_damage_becomes_a_warning(tmp_path):
    path = damage(write_sound(tmp_path / "a.m4a", SPEECH, "aac"), 0.6, 400)
    (warning,) = survey(path).warnings
    assert "one stretch of the sound could not be decoded" in warning


def test_a_cut_file_is_played_as_far_as_it_goes(tmp_path):
    path = write_sound(tmp_path / "a.m4a", SPEECH, "aac", options={"movflags": "faststart"})
    sound = survey(cut(path, 0.6))
    assert 0.3 * len(SPEECH) < sound.samples < 0.7 * len(SPEECH)
    assert any("cut off" in warning for warning in sound.warnings)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.wav", b"", "is empty"),
        ("a.wav", b"RIFF", "damaged or cut off"),
        ("a.txt", b"not a sound\n" * 50, "no sound"),
        ("a.mp3", bytes(5_000), "no sound file"),
    ],
)
def test_files_that_hold_no_sound_are_named_with_a_remedy(tmp_path, name, content, complaint):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as caught:
        survey(path)
    assert str(path) in str(caught.value)
    assert "Errno" not in str(caught.value)


def test_a_file_without_its_index_is_named_with_a_remedy(tmp_path):
    path = cut(write_sound(tmp_path / "a.m4a", SPEECH, "aac"), 0.6)
    with pytest.raises(ValueError, match="cut off; give a WAV"):
        survey(path)


def test_a_folder_is_no_sound(tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        survey(tmp_path)


SILENCE = np.zeros_like(MONO)


@pytest.mark.parametrize(
    ("left", "right", "mix", "warning"),
    [
        (MONO, MONO, Mix.MEAN, ""),
        (MONO, np.roll(MONO, 9_999), Mix.MEAN, ""),
        (MONO, MONO // 10, Mix.MEAN, ""),
        (MONO, SILENCE, Mix.LEFT, "the right channel is silent"),
        (SILENCE, MONO, Mix.RIGHT, "the left channel is silent"),
        (MONO, -MONO, Mix.LEFT, "cancel"),
        (MONO // 2, -MONO, Mix.RIGHT, "cancel"),
        (SILENCE, SILENCE, Mix.MEAN, "silent throughout"),
    ],
)
def test_what_the_face_hears_is_as_loud_as_what_speaks(tmp_path, left, right, mix, warning):
    both = np.stack([left, right], axis=1)
    sound = survey(write_sound(tmp_path / "a.wav", both, "pcm_s16le"))
    assert (sound.channels, sound.samples, sound.mix) == (2, len(MONO), mix)
    assert [warning in said for said in sound.warnings] == ([True] if warning else [])
    hops = hops_of(FileSource(sound.chunks(), sound.mix))
    assert np.array_equal(np.concatenate([hop.voice for hop in hops])[: len(both)], both)
    heard = np.concatenate([hop.samples for hop in hops])
    loudest = max(float(np.abs(left).max()), float(np.abs(right).max())) / 32_768
    assert np.abs(heard).max() > 0.4 * loudest or loudest == 0


def test_the_mean_is_rounded_not_wrapped():
    loud = np.full((4, 2), 32_767, np.int16)
    assert Mix.MEAN(loud).tolist() == [32_767] * 4
    assert Mix.MEAN(np.array([[1, 2], [-1, -2]], np.int16)).tolist() == [2, -1]


def test_unrelated_channels_are_not_taken_for_cancelling_ones():
    assert choose_mix(1.0, 1.0, 0.5)[0] is Mix.MEAN
    assert choose_mix(1.0, 0.25, 0.0625)[0] is Mix.LEFT


def odd_wav(path, data, *, code=1, channels=1, rate=48_000, bits=16, stated=None, align=None):
    """A WAV file with such a header; `stated`: of its length in bytes."""
    align = channels * bits // 8 if align is None else align
    kind = struct.pack("<HHIIHH", code, channels, rate, rate * align % 2**32, align, bits)
    length = struct.pack("<I", len(data) if stated is None else stated)
    body = b"WAVEfmt " + struct.pack("<I", len(kind)) + kind + b"data" + length + data
    path.write_bytes(b"RIFF" + struct.pack("<I", (len(body)) % 2**32) + body)
    return path


WAVE = SPEECH[:48_000] / 32_768
PCM_24 = (WAVE * 2**23).astype("<i4").view("u1").reshape(-1, 4)[:, :3].tobytes()


@pytest.mark.parametrize(
    ("data", "header", "length"),
    [
        ((WAVE * 127 + 128).astype("u1").tobytes(), {"bits": 8}, 48_000),
        (PCM_24, {"bits": 24}, 48_000),
        ((WAVE * 2**31).astype("<i4").tobytes(), {"bits": 32}, 48_000),
        (WAVE.astype("<f4").tobytes(), {"code": 3, "bits": 32}, 48_000),
        (WAVE.astype("<f8").tobytes(), {"code": 3, "bits": 64}, 48_000),
        (SPEECH[:48_000].tobytes(), {"stated": 0}, 48_000),
        (SPEECH[:48_000].tobytes(), {"stated": 2**32 - 1}, 48_000),
        (SPEECH[:48_000].tobytes(), {"align": 0}, 48_000),
        (SPEECH[:48_000].tobytes(), {"rate": 8_000}, 288_000),
        (SPEECH[:48_000].tobytes(), {"rate": 192_000}, 12_000),
        (np.repeat(SPEECH[:48_000], 6).tobytes(), {"channels": 6}, 48_000),
        (np.repeat(SPEECH[:48_000], 16).tobytes(), {"channels": 16}, 48_000),
        (SPEECH[:1].tobytes(), {}, 1),
    ],
)
def test_odd_headers_are_read(tmp_path, data, header, length):
    sound = survey(odd_wav(tmp_path / "a.wav", data, **header))
    assert abs(sound.samples - length) <= 32  # of a resampler, at most
    assert not [words for words in sound.warnings if "silent throughout" not in words]
    played = [hop.voice for hop in hops_of(FileSource(sound.chunks(), sound.mix))]
    assert length < 100 or max(np.abs(voice.astype(int)).max() for voice in played) > 1_000


def test_what_is_no_number_in_a_file_becomes_no_noise(tmp_path):
    wave = WAVE.astype("<f4")
    wave[20_000:20_100], wave[30_000:30_100] = np.nan, np.inf
    sound, _ = whole(odd_wav(tmp_path / "a.wav", wave.tobytes(), code=3, bits=32))
    apart = np.abs(sound[:20_000, 0].astype(int) - SPEECH[:20_000])
    assert apart.max() <= 2


@pytest.mark.parametrize(
    "header",
    [
        {"bits": 0, "align": 2},
        {"code": 0x9999},
        {"channels": 0, "align": 2},
        {"channels": 65_535, "align": 2},
        {"rate": 0},
        {"rate": 4_000_000_000},
    ],
)
def test_headers_that_say_nothing_sensible_are_named_with_a_remedy(tmp_path, header):
    path = odd_wav(tmp_path / "a.wav", SPEECH[:48_000].tobytes(), **header)
    with pytest.raises(ValueError, match="damaged or cut off; give a WAV"):
        survey(path)


@pytest.mark.parametrize("kind", ["mp3 mp3", "m4a aac", "ogg libopus", "webm libopus", "flac flac"])
@pytest.mark.parametrize("kept", [10, 100, 0.02, 0.5, 0.99])
def test_however_short_a_file_was_cut_it_is_played_or_named(tmp_path, kind, kept):
    suffix, codec = kind.split()
    path = write_sound(tmp_path / f"a.{suffix}", SPEECH, codec)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    try:
        assert survey(path).samples <= len(SPEECH) + 4_800
    except ValueError as refusal:
        assert "give a WAV" in str(refusal) or "index" in str(refusal)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_silent_file_is_told(tmp_path, channels):
    hush = np.random.default_rng(1).integers(-2, 3, (48_000, channels)).astype(np.int16)
    path = write_sound(tmp_path / "a.wav", hush[:, 0] if channels == 1 else hush, "pcm_s16le")
    (warning,) = survey(path).warnings
    assert "silent throughout" in warning


@pytest.mark.parametrize(
    "list_of_files",
    [
        "#EXTM3U\n#EXTINF:3,\nsecret.wav\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://127.0.0.1:9/x.ts\n",
        "ffconcat version 1.0\nfile 'secret.wav'\n",
    ],
)
def test_a_file_that_names_others_opens_none(tmp_path, list_of_files):
    write_sound(tmp_path / "secret.wav", SPEECH, "pcm_s16le")
    path = tmp_path / "a.mp3"
    path.write_text(list_of_files)
    with pytest.raises(ValueError, match=r"a\.mp3"):
        survey(path)
