"""The anthropic client, whole answers or streams."""

import argparse

import anthropic

parser = argparse.ArgumentParser()
parser.add_argument("base_url")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--timeout", type=float, default=30.0)
parser.add_argument("--stream", action="store_true")
args = parser.parse_args()

client = anthropic.Anthropic(base_url=args.base_url, api_key="test-key", timeout=args.timeout, max_retries=0)
for n in range(args.calls):
    ask = {"model": "claude-test", "max_tokens": 64, "messages": [{"role": "user", "content": f"question {n}"}]}
    if args.stream:
        with client.messages.stream(**ask) as stream:
            for text in stream.text_stream:
                print(text, end="", flush=True)
            usage = stream.get_final_message().usage
    else:
        answer = client.messages.create(**ask)
        print(answer.content[0].text, end="")
        usage = answer.usage
    print(f" [{usage.input_tokens} in, {usage.output_tokens} out]")
