"""Configuration: files, flags, and complaints that say what to do."""

import logging
from pathlib import Path

import pytest

from pipelines.photo.framing import choose_size
from pipelines.registry import find_system
from realtime.config import ServerConfig, load_config
from tests.support.plugins import installed


def written(folder: Path, text: str) -> Path:
    path = folder / "vivavoce.toml"
    path.write_text(text)
    return path


def test_flags_lie_over_the_file(tmp_path):
    text = 'port = 9000\nsize = 256\ndata_dir = "/tmp/avatars"\nping_timeout_s = 9\n'
    config = load_config(written(tmp_path, text), {"port": 9001})
    assert (config.port, config.size, config.ping_timeout_s) == (9001, 256, 9.0)
    assert str(config.data_dir) == "/tmp/avatars"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("port = 99999", "between 0 and 65535"),
        ("prot = 8080", "unknown setting 'prot'"),
        ("port = true", "must be of type int"),
        ("port = '8080'", "must be of type int"),
        ("backend = 'onnx'", "must be auto, torch or onnxruntime"),
        ("size = 300", "'portrait' draws 256x256, 512x512"),
        ("host = '0.0.0.0'", "--allow-remote"),
        ("port = ", "cannot read the configuration"),
        ("idle_limit_s = 30", "must be 0 or at least 60 seconds"),
        ("sessions_per_address = 'many'", "must be auto, or at least 0"),
        ("sessions_per_key = -1", "must be at least 0"),
        ("pipelines = 'portrait'", "must be a list of names"),
        ("pipelines = ['dreams']", "unknown pipeline 'dreams'"),
        ("[pipeline.portrait]\nspeed = 1", "unknown option pipeline.portrait.speed"),
        ("pipelines = 5", "must be a list of names"),
        ("pipelines = [5]", "must be a list of names"),
        ("pipeline = 5", "must be of type str"),
        ("data_dir = 5", "must be of type str"),
        ("[pipeline]\nportrait = 1", "must be a table"),
        ("[pipeline.dreams]\nspeed = 1", "unknown pipeline 'dreams'"),
        ("pipeline = 'portrait'\n[pipeline.anitalker]\n", r"choose by pipelines = \[\"NAME\"\]"),
        ("[options.portrait]\nmotion_weights = 'x'", "unknown setting 'options'"),
    ],
)
def test_mistakes_are_named(tmp_path, text, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_config(written(tmp_path, text), {})


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        load_config(tmp_path / "none.toml", {})


def test_loopback_is_the_default():
    assert ServerConfig().loopback
    assert ServerConfig(host="LOCALHOST").loopback
    assert not ServerConfig(host="0.0.0.0", allow_remote=True).loopback


def test_pipelines_and_their_options_are_tables_of_the_file(tmp_path):
    text = (
        'pipelines = ["anitalker", "portrait"]\n'
        '[pipeline.anitalker]\nprecision = "bfloat16"\n'
        "[pipeline.anitalker.playing]\nahead = 3\n"
    )
    config = load_config(written(tmp_path, text), {})
    assert (config.pipeline, config.loaded) == ("anitalker", ("anitalker", "portrait"))
    options = config.options_of("anitalker")
    assert (options.precision, options.playing.ahead) == ("bfloat16", 3)
    assert config.options_of("portrait") == find_system("portrait").Options()
    other = load_config(written(tmp_path, text), {"pipeline": "portrait"})
    assert (other.pipeline, other.loaded) == ("portrait", ("portrait", "anitalker"))


def test_settings_of_the_command_line_lie_over_the_files_options(tmp_path):
    text = '[pipeline.anitalker]\nprecision = "bfloat16"\n'
    settings = ["motion_weights=mine", "anitalker.playing.ahead=2"]
    config = load_config(written(tmp_path, text), {}, settings)
    assert config.pipeline == "portrait"
    assert config.options_of("portrait").motion_weights == "mine"
    options = config.options_of("anitalker")
    assert (options.precision, options.playing.ahead) == ("bfloat16", 2)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("motion_weights", "must be OPTION=VALUE"),
        ("=x", "must be OPTION=VALUE"),
        ("speed=1", "unknown option pipeline.portrait.speed"),
        ("anitalker.playing.ahead=soon", "pipeline.anitalker.playing.ahead"),
        ("anitalker.playing=3", "pipeline.anitalker.playing = '3': must be a table"),
    ],
)
def test_settings_that_do_not_fit(setting, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_config(None, {}, [setting])


def test_files_and_flags_of_the_last_release_go_on_working(tmp_path, caplog):
    text = (
        'pipeline = "anitalker"\nprecision = "bfloat16"\nrenderer_weights = ""\n'
        "[playing]\nahead = 3\nsmoothing = 0.5\npose = true\n"
    )
    with caplog.at_level(logging.WARNING):
        config = load_config(written(tmp_path, text), {"motion_weights": "mine"})
    options = config.options_of("anitalker")
    assert (options.precision, options.motion_weights) == ("bfloat16", "mine")
    assert options.renderer_weights == find_system("anitalker").Options().renderer_weights
    playing = options.playing
    assert (playing.ahead, playing.smoothing, playing.pose) == (3, 0.5, True)
    text = "[pipeline.portrait]\nmotion_weights = 'theirs'\n"
    config = load_config(written(tmp_path, text), {"motion_weights": "mine"})
    assert config.options_of("portrait").motion_weights == "mine"  # flags lie over files
    assert len(caplog.messages) == 4
    assert "the setting precision has moved" in caplog.text
    for wrong, complaint in (("ahead = 0.5", "ahead"), ("speed = 1", "playing.speed")):
        path = written(tmp_path, f'pipeline = "anitalker"\n[playing]\n{wrong}\n')
        with pytest.raises(ValueError, match=complaint):
            load_config(path, {})


def test_old_settings_of_another_pipeline_are_named(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        load_config(written(tmp_path, 'precision = "bfloat16"\n[playing]\nahead = 3\n'), {})
    assert "precision does nothing for the pipeline portrait" in caplog.text
    with pytest.raises(ValueError, match="portrait renderer has no weights"):
        load_config(None, {"renderer_weights": "mine"})


def test_sizes_are_width_and_height():
    with installed("toy_pipeline"):
        toy, portrait = find_system("toy"), find_system("portrait")
        assert choose_size(toy, 180) == choose_size(toy, "320x180") == choose_size(toy, None)
        assert choose_size(portrait, "256") == (256, 256)
        with pytest.raises(ValueError, match="'toy' draws 320x180"):
            choose_size(toy, "180x320")
        config = ServerConfig(pipelines=("toy",), size=256)
        assert (config.size_of("portrait"), config.size_of("toy")) == ((256, 256), (320, 180))
