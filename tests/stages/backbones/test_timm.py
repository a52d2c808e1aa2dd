"""timm's models as backbones: names without an import, weights, last blocks, what pictures they expect."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from longtail.pipeline.config.components import check_spec
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.serve.finished_model import load_finished_model
from longtail.pipeline.training.expected_pictures import check_input
from longtail.pipeline.training.initial_weights import _place_of_timm_weights
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.work.execute import run_stage_one, run_stage_two
from longtail.pipeline.work.plan import planned_steps
from longtail.stages.backbones import BACKBONES
from longtail.stages.data import DATASETS
from longtail.stages.network import LinearHead, Network
from longtail.stages.parameters import Problems
from tests.places import CHECKOUT

timm = pytest.importorskip("timm", reason="the extra `timm` is not installed")

TINY = ["data.max_count=5", "data.imbalance_factor=1", "representation.epochs=0", "classifiers=[joint, crt]"]
LAST = {  # of timm's own test models
    "test_resnet": ("layer4",),
    "test_vit": ("blocks.5", "norm"),
    "test_convnext": ("stages.3", "head"),
    "test_efficientnet": ("blocks.4", "conv_head", "bn2"),
}
every_model = pytest.mark.parametrize("model", LAST)


def make(model, **params):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BACKBONES.create(f"timm/{model}", **params)


# -- names ------------------------------------------------------------------------------------------------


def test_a_model_is_named_behind_a_slash_without_importing_anything():
    code = """
        import sys
        from longtail.pipeline.config.loading import load_config
        config = load_config("digits_lt", ["representation.backbone=timm/no_such_model"])
        assert config.representation.backbone.minimal() == {"name": "timm/no_such_model"}
        assert not {"timm", "torch"} & set(sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr


def test_both_spellings_are_one_backbone():
    one = check_spec("backbones", "timm/resnet18")
    assert one == check_spec("backbones", {"name": "timm", "model": "resnet18"})
    assert one.minimal() == {"name": "timm/resnet18"}
    full = check_spec("backbones", {"name": "timm/vit_tiny_patch16_224", "image_size": 96}).minimal()
    assert full == {"name": "timm/vit_tiny_patch16_224", "image_size": 96}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm", "model: is required; it must be a model of timm, written as timm/resnet18"),
        ("timm/", "unknown backbone 'timm/'; did you mean 'timm'?"),
        ("resnet18/timm", "unknown backbone 'resnet18/timm'"),
        ({"name": "timm/resnet18", "model": "resnet34"}, "unknown parameter of backbone timm/resnet18"),
    ],
)
def test_invalid_timm_names_are_refused(spec, message):
    with pytest.raises(Problems) as caught:
        check_spec("backbones", spec)
    assert message in str(caught.value)


def test_unknown_model_is_refused_with_near_ones():
    with pytest.raises(ValueError, match=r"timm has no model 'resnet81'; did you mean .*resnet18"):
        BACKBONES.create("timm/resnet81")


def test_missing_extra_is_named_before_the_data_are_read(tmp_path):
    code = """
        import sys
        sys.modules["timm"] = None
        import longtail.stages.data
        from longtail.pipeline.cli import main
        longtail.stages.data.DATASETS.create = None
        main(["--root", sys.argv[1], "run", "digits_lt", "representation.backbone=timm/resnet18"])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "root")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert lines == ["error: timm backbones need timm: pip install 'longtail[timm]'"]


# -- networks ---------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("channels", [1, 3])
def test_model_maps_pictures_to_its_number_of_features(model, channels):
    backbone = make(model, in_channels=channels).eval()
    with torch.inference_mode():
        features = backbone(torch.rand(2, channels, 160, 160))
    assert features.shape == (2, backbone.num_features)
    assert not any(name.startswith(("fc.", "classifier.")) for name in backbone.state_dict())


def test_features_are_what_a_classifier_would_get():
    backbone = make("mobilenetv3_small_050")  # has a layer between its pooling and its classifier
    with torch.inference_mode():
        assert backbone.eval()(torch.rand(1, 3, 64, 64)).shape[1] == backbone.num_features == 1024


@every_model
def test_only_the_last_block_learns(model):
    backbone = make(model)
    assert backbone.last_block == LAST[model]
    network = Network(backbone, LinearHead(backbone.num_features, 3))
    network.train_only("last_block")
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    prefixes = ("head.", *(f"backbone.{block}." for block in LAST[model]))
    assert learning == {name for name, _ in network.named_parameters() if name.startswith(prefixes)}


def test_last_block_without_a_matrix_takes_what_lies_before_it():
    with torch.device("meta"):
        names = BACKBONES.create("timm/densenet121").last_block
    assert names == ("features.transition3", "features.denseblock4", "features.norm5")


def test_image_size_is_what_the_model_takes():
    backbone = make("test_vit", image_size=32).eval()
    assert backbone.expects["size"] == 32 and make("test_vit").expects["size"] == 160
    with torch.inference_mode():
        assert backbone(torch.rand(1, 3, 32, 32)).shape == (1, 64)
    with pytest.raises(ValueError, match="image_size: test_resnet takes pictures of any size"):
        make("test_resnet", image_size=32)


# -- weights ----------------------------------------------------------------------------------------------


def test_frozen_features_of_a_file_and_a_new_head(digits, store, tmp_path, logged):
    path = tmp_path / "model.safetensors"
    whole = timm.create_model("test_resnet", in_chans=1)  # with its classifier, as published files are
    save_file({key: t.contiguous() for key, t in whole.state_dict().items()}, path)
    config = digits(
        "representation.backbone=timm/test_resnet", f"representation.weights={path}", *TINY,
        "data.profile=none", "data.imbalance_factor=null",
    )  # fmt: skip
    results = run_stage_two(config, store)
    assert [r.classifier for r in results] == ["joint", "crt"]
    assert "not used: fc.bias, fc.weight" in logged.text
    assert "timm/test_resnet was trained on pictures normalised with mean [0.5, 0.5, 0.5]" in logged.text
    kept = load_finished_model(store, results[0]).backbone.state_dict()
    assert all(torch.equal(kept[key], t) for key, t in whole.state_dict().items() if not key.startswith("fc"))


def test_timms_weights_are_fetched_only_by_what_trains(digits, store, monkeypatch):
    import longtail.stages.backbones.timm_models as module

    asked, real = [], module.create_model

    def fetched(name, *, pretrained, **options):
        if pretrained:
            asked.append(name)
        return real(name, pretrained=False, **options)

    monkeypatch.setattr(module, "create_model", fetched)
    config = digits(
        "representation.backbone=timm/test_resnet", "representation.weights=timm:r160_in1k", *TINY
    )
    planned_steps(config, store)
    assert not asked
    run_stage_one(config, store)
    assert asked == ["test_resnet.r160_in1k"]
    run_stage_one(config, store)
    assert len(asked) == 1


def test_weights_that_cannot_be_fetched_are_named(digits, store, monkeypatch):
    import longtail.stages.backbones.timm_models as module

    def offline(*_, pretrained, **__):
        if pretrained:
            raise OSError("no network\nat all")
        return timm.create_model("test_resnet", num_classes=0, in_chans=1)

    monkeypatch.setattr(module, "create_model", offline)
    monkeypatch.setattr("longtail.pipeline.training.initial_weights._hub_answers", lambda: True)
    named = "representation.backbone=timm/test_resnet.r160_in1k"
    with pytest.raises(LongtailError, match=r"test_resnet.r160_in1k could not be fetched \(no network\); fe"):
        run_stage_one(digits(named, "representation.weights=timm", *TINY), store)
    unknown = digits("representation.backbone=timm/test_resnet", "representation.weights=timm:r161", *TINY)
    with pytest.raises(LongtailError, match=r"no weights 'r161' for test_resnet, only r160_in1k$"):
        run_stage_one(unknown, store)


@pytest.mark.parametrize(
    ("model", "tag", "place"),
    [
        (
            "test_resnet",
            "r160_in1k",
            "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safe",
        ),
        (
            "fastvit_mci0",
            "apple_mclip",
            "https://huggingface.co/apple/mobileclip_s0_timm/resolve/main/",
        ),
        ("gcvit_tiny", "in1k", "https://github.com/"),  # not on the hub
    ],
)
def test_the_file_to_fetch_is_where_timm_has_it(model, tag, place):
    assert _place_of_timm_weights(model, tag).startswith(place)


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("small_cnn", "timm", "timm has weights for backbones timm/..., got small_cnn"),
        ("timm/resnet18", "timm", "must name timm's weights, by timm:TAG or as backbone timm/resnet18.TAG"),
        ("timm/resnet18.a1_in1k", "timm:tv_in1k", "got timm:tv_in1k for timm/resnet18.a1_in1k"),
    ],
)
def test_weights_have_one_name(digits, backbone, weights, message):
    with pytest.raises(ConfigError) as caught:
        digits(f"representation.backbone={backbone}", f"representation.weights={weights}")
    assert "representation.weights" in str(caught.value) and message in str(caught.value)


# -- pictures ---------------------------------------------------------------------------------------------

MEAN, STD = [0.5, 0.25, 0.75], [0.5, 0.2, 0.1]


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("ant", "bee"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for n in range(5):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(
                tmp_path / "set" / label / f"{n}.png"
            )
    return tmp_path / "set"


def splits(pictures, **params):
    held = {"validation_per_class": 1, "test_per_class": 1}
    return DATASETS.create("image_folder", root=str(pictures), image_size=16, workers=1, **held, **params)


@pytest.mark.parametrize("in_memory", [True, False])
def test_given_constants_normalise_every_part(pictures, in_memory):
    data = splits(pictures, in_memory=in_memory, resize=16, mean=MEAN, std=STD)
    plain = splits(pictures, in_memory=in_memory, resize=16)
    for name, part in data.parts().items():
        other = plain.parts()[name]
        mean, std = (torch.tensor(other.constants[key]).view(3, 1, 1) for key in ("mean", "std"))
        values = other.batch(range(len(other))) * std + mean  # 0…255 again
        expected = (values / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        torch.testing.assert_close(part.batch(range(len(part))), expected, rtol=1e-4, atol=1e-4)
        assert part.take(np.arange(1), [0]).to("cpu").constants == part.constants
        np.testing.assert_allclose(part.preprocessing.mean, np.multiply(MEAN, 255))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mean": MEAN}, "^std: must be given with `mean`"),
        ({"mean": [0.5], "std": [0.5]}, r"^mean: must have a number for each channel, 3, got \[0.5\]"),
        ({"mean": MEAN, "std": [0.5, 0.5, 0]}, "std: must be .*> 0"),
    ],
)
def test_constants_that_do_not_fit_are_refused(pictures, params, message):
    with pytest.raises(ValueError, match=message):
        splits(pictures, **params)


def test_another_normalisation_or_size_is_warned_of(digits, pictures, logged):
    settings = digits("representation.backbone=timm/test_vit", "representation.weights=x.pth").representation
    backbone, plain = make("test_vit", image_size=16), splits(pictures, in_memory=False)
    check_input(settings, backbone, plain)
    assert "mean [0.5, 0.5, 0.5] and std [0.5, 0.5, 0.5], these have mean [0.485" in logged.text
    logged.clear()
    check_input(settings, backbone, splits(pictures, in_memory=False, mean=[0.5] * 3, std=[0.5] * 3))
    check_input(settings.model_copy(update={"weights": None}), backbone, plain)
    assert not logged.text
    with pytest.raises(LongtailError, match=r"data.image_size: must be 160 for backbone .*got 16×16 pixels"):
        check_input(settings, make("test_vit"), plain)


def test_recipe_normalises_as_its_model_was_trained(pictures, logged):
    config = load_config("foundation_features", [f"data.root={pictures}", "system.workers=1"])
    with torch.device("meta"):
        backbone = BACKBONES.create(config.representation.backbone.name)
    check_input(config.representation, backbone, load_splits(config))
    assert not logged.text
    assert backbone.num_features == 768
