"""A live connection to Odoo's bus, as the web client's worker holds one."""

import json
import time

import websocket

from tenant import Failure, check

WAIT_SECONDS = 30


def others_channels(tenant):
    """What a user who knows how Odoo keeps channels would call those of the other tenants: (database, channel), in
    spellings that pass as the text that a channel has to be."""
    names = []
    for other in tenant.others:
        for channel in ["broadcast", "discuss.channel_1", "res.partner_3", "mail.box_3"]:
            names += [
                json.dumps([other.name, channel]),
                json.dumps([other.name, channel], separators=(",", ":")),
                json.dumps([other.name, *channel.split("_")]),
                f"('{other.name}', '{channel}')",
                f"{other.name}/{channel}",
                channel,
            ]
    return names


class Bus:
    """A websocket of one tenant's user, subscribed to the user's own channels."""

    def __init__(self, web):
        tenant = web.tenant
        self.tenant = tenant
        self.seen = []
        try:
            self.socket = websocket.create_connection(
                tenant.url(f"/websocket?version={web.info['websocket_worker_version']}", web.host).replace("http:", "ws:"),
                cookie=f"session_id={web.cookie()}",
                origin=tenant.url("", web.host),
                header=["User-Agent: Mozilla/5.0 (fleet client)"],
                timeout=WAIT_SECONDS,
            )
        except websocket.WebSocketBadStatusException as refusal:
            raise Failure(f"the handshake is answered {refusal.status_code}: does /websocket reach the gevent port?") from None
        # From 0: what was sent moments before the server took the subscription in comes, too.
        self.socket.send(json.dumps({"event_name": "subscribe", "data": {"channels": others_channels(tenant), "last": 0}}))

    def wait_for(self, text):
        """Reads until a notification holds `text`; everything read is kept in `seen`."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not any(text in message for message in self.seen):
            left = deadline - time.monotonic()
            check(left > 0, f"no notification with {text!r} in {WAIT_SECONDS} s, only {self.seen}")
            self.socket.settimeout(left)
            try:
                opcode, data = self.socket.recv_data()
            except websocket.WebSocketTimeoutException:
                continue
            check(opcode == websocket.ABNF.OPCODE_TEXT, f"the bus sends opcode {opcode}: {data!r}")
            self.tenant.judge(data, "the bus")
            self.seen += [json.dumps(n["message"]) for n in json.loads(data)]

    def close(self):
        self.socket.close()


def post(web, text):
    """Posts a message in the tenant's first discussion channel, which notifies every open client of its members."""
    channel = web.call("discuss.channel", "search", [[("channel_type", "=", "channel")]], limit=1)
    check(channel, "the database has no discussion channel")
    web.call("discuss.channel", "message_post", [channel], body=text, message_type="comment", subtype_xmlid="mail.mt_comment")
