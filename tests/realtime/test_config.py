"""Configuration: files, flags, and complaints that say what to do."""

import pytest

from realtime.config import ServerConfig, load_config


def test_flags_lie_over_the_file(tmp_path):
    path = tmp_path / "vivavoce.toml"
    path.write_text('port = 9000\nsize = 256\ndata_dir = "/tmp/avatars"\nping_timeout_s = 9\n')
    config = load_config(path, {"port": 9001})
    assert (config.port, config.size, config.ping_timeout_s) == (9001, 256, 9.0)
    assert str(config.data_dir) == "/tmp/avatars"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("port = 99999", "between 0 and 65535"),
        ("prot = 8080", "unknown setting 'prot'"),
        ("port = true", "must be of type int"),
        ("port = '8080'", "must be of type int"),
        ("size = 300", "256 or 512"),
        ("host = '0.0.0.0'", "--allow-remote"),
        ("port = ", "cannot read the configuration"),
    ],
)
def test_mistakes_are_named(tmp_path, text, complaint):
    path = tmp_path / "vivavoce.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        load_config(path, {})


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        load_config(tmp_path / "none.toml", {})


def test_loopback_is_the_default():
    assert ServerConfig().loopback
    assert not ServerConfig(host="0.0.0.0", allow_remote=True).loopback


def test_how_generators_are_played_is_a_table_of_the_file(tmp_path):
    path = tmp_path / "vivavoce.toml"
    path.write_text('pipeline = "anitalker"\n[playing]\nahead = 3\nsmoothing = 0.5\npose = true\n')
    playing = load_config(path, {"motion_weights": "mine"}).preset.playing
    assert (playing.ahead, playing.smoothing, playing.pose) == (3, 0.5, True)
    for wrong, complaint in (("ahead = 0.5", "ahead"), ("speed = 1", "playing.speed")):
        path.write_text(f"[playing]\n{wrong}\n")
        with pytest.raises(ValueError, match=complaint):
            load_config(path, {})
