"""Load a GGUF with llama.cpp in a process of its own, and answer as JSON: torch and llama.cpp never share a process.

stdin: {"model", "lora"?, "tokenize"?: [text], "greedy"?: [[ids], count], "score"?: [[ids]], "scores_file"?}.
stdout: {"tokens": [[ids]], "greedy": [[ids]], "ends": [ids]}; `score` writes the log-probabilities `[T, V]` of each
sequence to the .npz file.
"""

import json
import sys

import llama_cpp
import numpy as np


def main():
    asked = json.load(sys.stdin)
    model = llama_cpp.Llama(
        asked["model"], n_ctx=256, n_batch=256, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False,
        lora_path=asked.get("lora"), type_k=0, type_v=0,
    )  # fmt: skip
    answer = {"ends": [model.token_eos(), model.token_bos()]}
    if "tokenize" in asked:
        answer["tokens"] = [model.tokenize(t.encode(), add_bos=True, special=True) for t in asked["tokenize"]]
    if "greedy" in asked:
        prompts, count = asked["greedy"]
        answer["greedy"] = [greedy(model, prompt, count) for prompt in prompts]
    if "score" in asked:
        np.savez(asked["scores_file"], *[scores(model, ids) for ids in asked["score"]])
    print(json.dumps(answer))


def greedy(model, prompt, count):
    model.reset()
    model.eval(prompt)
    found = []
    for _ in range(count):
        found.append(int(model.scores[model.n_tokens - 1].argmax()))
        model.eval(found[-1:])
    return found


def scores(model, ids):
    model.reset()
    model.eval(ids)
    logits = model.scores[: len(ids)].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


if __name__ == "__main__":
    main()
