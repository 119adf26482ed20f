"""Tokens as the llama.cpp worker makes them, in a process of its own: torch and llama.cpp never share one.

stdin: {"model", "texts"?: [text], "chats"?: [[{"role", "content"}]], "variables"?: {}}.
stdout: {"texts": [[ids]], "chats": [[ids]], "ends": [ids], "special": [texts], "note"}.
"""

import json
import sys

from seirenes_app.inference.llama_bindings import CancelFlag, start_llama
from seirenes_app.inference.protocol import LoadRequest, Message, SampleRequest
from seirenes_app.inference.session import Session


def main():
    asked = json.load(sys.stdin)
    start_llama()
    session = Session(LoadRequest(model=asked["model"], n_ctx=256, threads=1), CancelFlag(), lambda _: None)
    variables = asked.get("variables", {})
    chats = [tuple(Message(**turn) for turn in chat) for chat in asked.get("chats", ())]
    answer = {
        "texts": [session.model.tokenize(t, add_special=True, parse_special=True) for t in asked.get("texts", ())],
        "chats": [session.prompt_tokens(SampleRequest(messages=c, template_variables=variables)) for c in chats],
        "ends": sorted(session.model.end_ids),
        "special": sorted(session.model.special_texts),
        "note": session.chat.note.text,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
