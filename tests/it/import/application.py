"""An application as it was written for NGINX or Apache: it answers the challenge, and looks at their headers."""

import base64
import hashlib
import hmac
import json

from flask import Flask, request

app = Flask(__name__)


@app.before_request
def only_netdata():
    name = request.headers.get("X-Client-DN", "") + request.headers.get("X-Client-CN", "")
    return None if "app.netdata.cloud" in name else ("Who is that?", 403)


@app.get("/webhooks/netdata")
def challenge():
    digest = hmac.new(b"YOUR_CHALLENGE_SECRET", request.args["crc_token"].encode(), hashlib.sha256).digest()
    return {"response_token": "sha256=" + base64.b64encode(digest).decode()}


@app.post("/webhooks/netdata")
def receive():
    body = request.get_json()
    kind = "test" if "token" in body else "alert" if "alert" in body else "reachability"
    print(kind, request.url, json.dumps(body, sort_keys=True))
    return "", 204


app.run("127.0.0.1", 3000)
