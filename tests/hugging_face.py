"""The models of the zoo as Hugging Face builds them: from their hyper-parameters, with random weights or none."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import transformers
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from edgesim.model import Model
from real_runtime.tracing.op_counter import Touched

RATE = 0.1  # of dropout where it is on: that of the published checkpoints


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A whole model, where its layers are in it, and what it reads."""

    module: nn.Module
    embedding: str
    encoder: str
    decoder: str
    hyper: Mapping[str, Any]

    @property
    def layers(self) -> dict[str, str]:
        """Paths of modules by names of the zoo's layers, but the embedding and the head."""
        paths = {"encoder": self.encoder, "decoder": self.decoder}
        return {
            f"{which}.{i}": f"{path}.{i}"
            for which, path in paths.items()
            if path
            for i in range(len(self.module.get_submodule(path)))
        }

    @property
    def stacks(self) -> dict[str, nn.Module]:
        """Encoder and decoder of a model that has both."""
        if not (self.encoder and self.decoder):
            return {}
        return {"encoder": self._stack(self.encoder), "decoder": self._stack(self.decoder)}

    def _stack(self, path: str) -> nn.Module:
        return self.module.get_submodule(path.rpartition(".")[0])

    def loss(self, samples: int, tokens: int, device: str = "meta") -> Tensor:
        """Cross-entropy of a batch, against the first class or word everywhere."""
        logits = self.module(**self.reads(samples, tokens, device)).logits.flatten(0, -2)
        return nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=device))

    def reads(self, samples: int, tokens: int, device: str) -> dict[str, Tensor]:
        """A batch."""

        def ids(length: int) -> Tensor:
            return torch.ones(samples, length, dtype=torch.long, device=device)

        if "resolution" in self.hyper:
            size = (samples, self.hyper["channels"], self.hyper["resolution"], self.hyper["resolution"])
            return {"pixel_values": torch.zeros(size, device=device)}
        if "decoder_tokens" in self.hyper:
            return {"input_ids": ids(tokens), "decoder_input_ids": ids(self.hyper["decoder_tokens"])}
        read = {"input_ids": ids(tokens)}
        if device == "meta" and self.module.config.model_type in ("gpt2", *_GROUPED, *_GEMMAS):
            # Without a mask the library would look for packed sequences, in a tensor that holds no numbers.
            mask = torch.zeros(samples, 1, tokens, tokens, device=device)
            kinds = set(getattr(self.module.config, "layer_types", None) or ())
            read["attention_mask"] = dict.fromkeys(kinds, mask) if kinds else mask  # type: ignore[assignment]
        return read


def reference(model: Model, attention: str, device: str) -> Reference:
    """The very same model on a device (``meta`` holds no numbers). Raises KeyError for an unknown architecture."""
    with torch.device(device):
        module, embedding, encoder, decoder = _BUILD[model.architecture](model.hyper, attention)
    module.train()
    return Reference(module=module, embedding=embedding, encoder=encoder, decoder=decoder, hyper=model.hyper)


@contextmanager
def watched(reference: Reference, enter: Callable[[str], None]) -> Iterator[None]:
    """Call ``enter`` with the name of each of the zoo's layers when the model's pass comes to it."""
    module, layers = reference.module, reference.layers
    hooks = [
        module.get_submodule(path).register_forward_pre_hook(lambda *_, name=name: enter(name))
        for name, path in layers.items()
    ]
    if "decoder" in reference.stacks:  # its embedding is the first decoder layer's
        hooks.append(reference.stacks["decoder"].register_forward_pre_hook(lambda *_: enter("decoder.0")))
    last = module.get_submodule(list(layers.values())[-1])
    hooks.append(last.register_forward_hook(lambda *_: enter("head")))
    enter("embedding")
    yield
    for hook in hooks:
        hook.remove()


@contextmanager
def boundaries(reference: Reference) -> Iterator[dict[str, int]]:
    """Fill in the bytes that leave each of the zoo's layers in the pass within."""
    module, layers, seen, hooks = reference.module, reference.layers, {}, []

    def note(name: str, _: nn.Module, entered: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        seen.setdefault("embedding", entered[0].nbytes)
        seen[name] = (output if isinstance(output, Tensor) else output[0]).nbytes

    def leave(_module: nn.Module, _entered: tuple[Tensor, ...], output: Any) -> None:
        seen["head"] = output.logits.nbytes
        if reference.stacks:  # the encoder's output, behind its norm, travels with the decoder's until the last layer
            encoded = output.encoder_last_hidden_state.nbytes
            seen[[name for name in layers if name.startswith("encoder")][-1]] = encoded
            for name in [name for name in layers if name.startswith("decoder")][:-1]:
                seen[name] += encoded

    for name, path in layers.items():
        hooks.append(module.get_submodule(path).register_forward_hook(partial(note, name)))
    hooks.append(module.register_forward_hook(leave))
    yield seen
    for hook in hooks:
        hook.remove()


def stashed_bytes(reference: Reference, samples: int, tokens: int) -> dict[str, int]:
    """Bytes that autograd saves in each of the zoo's layers, on the CPU: whole storages, once per layer.

    Parameters and buffers are left out. Dropout is fused, as on CUDA: the CPU's own saves floats for masks.
    """
    own = {t.untyped_storage().data_ptr() for t in (*reference.module.parameters(), *reference.module.buffers())}
    kept: dict[str, dict[int, Tensor]] = {}
    now = ""

    def enter(name: str) -> None:
        nonlocal now
        now = name
        kept.setdefault(name, {})

    def pack(tensor: Tensor) -> Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in own:
            kept[now][place] = tensor  # held, so that no other tensor takes its place
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with patch("torch.nn.functional.dropout", _fused_dropout), watched(reference, enter), hooks:
        reference.loss(samples, tokens, "cpu")
    return {name: sum(t.untyped_storage().nbytes() for t in tensors.values()) for name, tensors in kept.items()}


def freeze(reference: Reference) -> None:
    """No weight gets a gradient, but all that enters the first layers does."""
    reference.module.requires_grad_(False)
    for part in reference.module.modules():
        if isinstance(part, nn.Embedding | nn.Conv2d):
            part.register_forward_hook(lambda _module, _args, output: output.requires_grad_())


Built = tuple[nn.Module, str, str, str]


def _bert(hyper: Mapping[str, Any], attention: str) -> Built:
    module = transformers.BertForMaskedLM(transformers.BertConfig(**_bert_sizes(hyper, attention)))
    if not hyper["tied"]:
        module.cls.predictions.bias = module.cls.predictions.decoder.bias  # the library leaves a spare one
    return module, "bert.embeddings", "bert.encoder.layer", ""


def _roberta(hyper: Mapping[str, Any], attention: str) -> Built:
    config = transformers.RobertaConfig(**_bert_sizes(hyper, attention))
    return transformers.RobertaForMaskedLM(config), "roberta.embeddings", "roberta.encoder.layer", ""


def _bert_sizes(hyper: Mapping[str, Any], attention: str) -> dict[str, Any]:
    """Eager attention drops its probabilities; fused kernels save nothing for it, the CPU's stand-in would."""
    return {
        **_common(hyper, attention),
        "intermediate_size": hyper["columns"],
        "max_position_embeddings": hyper["positions"],
        "type_vocab_size": hyper["token_types"],
        "hidden_dropout_prob": _rate(hyper),
        "attention_probs_dropout_prob": 0.0 if hyper["fused"] else _rate(hyper),
    }


def _distilbert(hyper: Mapping[str, Any], attention: str) -> Built:
    config = transformers.DistilBertConfig(
        **_common(hyper, attention),
        hidden_dim=hyper["columns"],
        max_position_embeddings=hyper["positions"],
        dropout=_rate(hyper),
        attention_dropout=0.0,
    )
    return transformers.DistilBertForMaskedLM(config), "distilbert.embeddings", "distilbert.transformer.layer", ""


def _gpt2(hyper: Mapping[str, Any], attention: str) -> Built:
    config = transformers.GPT2Config(
        **_common(hyper, attention),
        n_inner=hyper["columns"],
        n_positions=hyper["positions"],
        resid_pdrop=_rate(hyper),
        embd_pdrop=_rate(hyper),
        attn_pdrop=0.0,
        use_cache=False,
    )
    return transformers.GPT2LMHeadModel(config), "transformer.wte", "", "transformer.h"


def _opt(hyper: Mapping[str, Any], attention: str) -> Built:
    config = transformers.OPTConfig(
        **_common(hyper, attention),
        ffn_dim=hyper["columns"],
        max_position_embeddings=hyper["positions"],
        word_embed_proj_dim=hyper["hidden"],
        dropout=_rate(hyper),
        use_cache=False,
    )
    return transformers.OPTForCausalLM(config), "model.decoder.embed_tokens", "", "model.decoder.layers"


_GROUPED = ("llama", "qwen2", "qwen3")
_GEMMAS = ("gemma", "gemma2", "gemma3_text")


def _llama(hyper: Mapping[str, Any], attention: str) -> Built:
    """Llama, with biases Qwen 2, with norms of Q and K Qwen 3."""
    kind = "qwen3" if hyper["qk_norms"] else "qwen2" if hyper["biases"] else "llama"
    sizes = _shared_heads(hyper, attention)
    if kind == "qwen2":  # reads head_dim, but does not declare it
        config = transformers.AutoConfig.for_model(kind, **sizes)
        config.head_dim = hyper["head_size"]
    else:
        config = transformers.AutoConfig.for_model(kind, **sizes, head_dim=hyper["head_size"])
    return transformers.AutoModelForCausalLM.from_config(config), "model.embed_tokens", "", "model.layers"


def _gemma(hyper: Mapping[str, Any], attention: str) -> Built:
    """Gemma, with norms behind Gemma 2, with norms of Q and K as well Gemma 3."""
    kind = _GEMMAS[hyper["norms_behind"] + hyper["qk_norms"]]
    caps = {} if kind == "gemma" else {"final_logit_softcapping": 30.0 if hyper["capped"] else None}
    sizes = _shared_heads(hyper, attention)
    config = transformers.AutoConfig.for_model(kind, **sizes, **caps, head_dim=hyper["head_size"], pad_token_id=0)
    return transformers.AutoModelForCausalLM.from_config(config), "model.embed_tokens", "", "model.layers"


def _shared_heads(hyper: Mapping[str, Any], attention: str) -> dict[str, Any]:
    return {
        **_common(hyper, attention),
        "num_key_value_heads": hyper["groups"],
        "intermediate_size": hyper["columns"],
        "max_position_embeddings": hyper["positions"],
        "use_cache": False,
    }


def _vit(hyper: Mapping[str, Any], attention: str) -> Built:
    config = transformers.ViTConfig(
        hidden_size=hyper["hidden"],
        num_hidden_layers=hyper["layers"],
        num_attention_heads=hyper["heads"],
        intermediate_size=hyper["columns"],
        image_size=hyper["resolution"],
        patch_size=hyper["patch"],
        num_channels=hyper["channels"],
        num_labels=hyper["classes"],
        hidden_dropout_prob=_rate(hyper),
        attn_implementation=attention,
    )
    return transformers.ViTForImageClassification(config), "vit.embeddings", "vit.layers", ""


def _t5(hyper: Mapping[str, Any], attention: str) -> Built:
    config = transformers.T5Config(
        vocab_size=hyper["vocabulary"],
        d_model=hyper["hidden"],
        d_kv=hyper["head_size"],
        d_ff=hyper["columns"],
        num_layers=hyper["encoder_layers"],
        num_decoder_layers=hyper["decoder_layers"],
        num_heads=hyper["heads"],
        relative_attention_num_buckets=hyper["buckets"],
        feed_forward_proj="gated-gelu" if hyper["gated"] else "relu",
        dropout_rate=_rate(hyper),
        use_cache=False,
        attn_implementation=attention,
    )
    return transformers.T5ForConditionalGeneration(config), "encoder.embed_tokens", "encoder.block", "decoder.block"


def _bart(hyper: Mapping[str, Any], attention: str) -> Built:
    config = transformers.BartConfig(
        vocab_size=hyper["vocabulary"],
        d_model=hyper["hidden"],
        encoder_layers=hyper["encoder_layers"],
        decoder_layers=hyper["decoder_layers"],
        encoder_attention_heads=hyper["heads"],
        decoder_attention_heads=hyper["heads"],
        encoder_ffn_dim=hyper["columns"],
        decoder_ffn_dim=hyper["columns"],
        max_position_embeddings=hyper["positions"],
        dropout=_rate(hyper),
        activation_dropout=_rate(hyper),
        attention_dropout=0.0,
        use_cache=False,
        attn_implementation=attention,
    )
    module = transformers.BartForConditionalGeneration(config)
    return module, "model.encoder.embed_tokens", "model.encoder.layers", "model.decoder.layers"


def _common(hyper: Mapping[str, Any], attention: str) -> dict[str, Any]:
    return {
        "vocab_size": hyper["vocabulary"],
        "hidden_size": hyper["hidden"],
        "num_hidden_layers": hyper["layers"],
        "num_attention_heads": hyper["heads"],
        "tie_word_embeddings": hyper["tied"],
        "attn_implementation": attention,
    }


def _rate(hyper: Mapping[str, Any]) -> float:
    """Attention's own dropout stays off but for T5: fused kernels save nothing for it, the CPU's stand-in would."""
    return RATE if hyper["dropout"] else 0.0


_BUILD: dict[str, Callable[[Mapping[str, Any], str], Built]] = {
    "bert": _bert,
    "roberta": _roberta,
    "gemma": _gemma,
    "distilbert": _distilbert,
    "gpt2": _gpt2,
    "opt": _opt,
    "llama": _llama,
    "vit": _vit,
    "t5": _t5,
    "bart": _bart,
}
ARCHITECTURES = frozenset(_BUILD)


def _fused_dropout(tensor: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout as CUDA has it: a mask of a byte per number."""
    return torch.native_dropout(tensor, p, training)[0] if training and p else tensor


def touched_bytes(model: Model, samples: int, tokens: int) -> tuple[int, int]:
    """What the operations of a forward and a backward pass read and write, on fake tensors of a CPU."""
    unfused = model.architecture == "t5" or not model.hyper.get("fused", True) or model.hyper.get("capped")
    attention = "eager" if unfused else "sdpa"
    with FakeTensorMode(allow_non_fake_inputs=True), patch("torch.nn.functional.dropout", _fused_dropout):
        built = reference(model, attention, "cpu")
        with Touched() as forward:
            loss = built.loss(samples, tokens, "cpu")
        with Touched() as backward:
            loss.backward()  # type: ignore[no-untyped-call]
    return forward.nbytes, backward.nbytes
