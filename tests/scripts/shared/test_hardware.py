import torch

from scripts.shared.hardware import hardware


def test_a_machine_without_gpus_is_named_by_its_cpu_and_cores(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "Z80"})
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    found = hardware()
    assert found == {"hardware": "Z80, 3 cores", "torch": torch.__version__}
    assert type(found["torch"]) is str  # plain data, for YAML


def test_a_cpu_that_torch_cannot_name_gets_the_platforms_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    monkeypatch.setattr("platform.processor", lambda: "x86_64")
    assert hardware()["hardware"].startswith("x86_64, ")


def test_gpus_are_counted(monkeypatch):
    for name, value in {"is_available": True, "device_count": 4, "get_device_name": "H200"}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert hardware()["hardware"] == "4 x H200"
