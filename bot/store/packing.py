"""JSON in fewer bytes: deflated against a dictionary of what every record says, since most of a record is its names.

A waiting run is about ten records of a few hundred bytes each, and three quarters of them are the names of fields.
`redis-cli` shows packed ones as they are; `unpack` reads them, and reads plain JSON as it always was.
"""

import zlib
from typing import Final

from bot.core.errors import UnknownSchema

RECORD: Final = b"\x01"
"""Begins what is packed with that dictionary; no JSON begins so. Another dictionary gets another number."""
ENTRY: Final = b"\x02"
"""Likewise an entry of the audit record, whose names stand in the order of the alphabet."""
_OF_RECORDS: Final = (
    b'{"schema": 2, "state": "unknown", "state": "failed", "state": "started", "state": "done", "value": "", '
    b'"attempt": "", "at": "", "place": 0, "alone": false, "alone": true}'
    b'{"schema": 2, "state": "done", "value": "{\\"finish_reason\\":\\"function_calls\\",'
    b'\\"content\\":[{\\"id\\":\\"call_'
    b'\\",\\"arguments\\":\\"{\\\\\\"\\\\\\":\\\\\\"\\\\\\"}\\",\\"name\\":\\"\\"}],'
    b'{\\"type\\":\\"ToolResult\\",\\"name\\":\\"\\",\\"result\\":[{\\"type\\":\\"TextResultContent\\",\\"content\\":\\"'
    b'\\"}],\\"is_error\\":false}'
    b'{\\"finish_reason\\":\\"stop\\",\\"content\\":\\"\\\\n\\\\n\\",\\"usage\\":{\\"prompt_tokens\\":10,'
    b'\\"completion_tokens\\":10},\\"cached\\":false,\\"logprobs\\":null,\\"thought\\":null}", '
    b'"attempt": "", "at": "2026-", "place": 1, "alone": true}'
    b'{"type":"run_stopped","type":"run_failed","type":"vote_cast","type":"attempt_refused","at":"2026-01-01T00:00:00.000'
    b'000Z","run":null,"request":null,"workspace":null,"user":null,"data":{"refusal":"","channel":"","problems":""}}'
    b'{"type":"run_finished","at":"2026-01-01T00:00:00.000000Z","run":"r","request":null,"workspace":"T0","user":null,'
    b'"data":{"result":"The team has finished."}}'
    b'{"type":"decision_delivered","at":"2026-01-01T00:00:00.000000Z","run":"r","request":"q","workspace":"T0",'
    b'"user":null,"data":{}}{"type":"request_decided","user":"U0","data":{"outcome":"rejected","how":"timeout",'
    b'"outcome":"approved","how":"reviewers","words":"","digest":"'
    b'{"type":"run_queued","at":"2026-01-01T00:00:00.000000Z","run":"r","request":null,"workspace":"T0","user":"U0",'
    b'"data":{"team":"'
    b'{"type":"run_started","at":"2026-01-01T00:00:00.000000Z","run":"r","request":null,"workspace":"T0","user":null,'
    b'"data":{"owner":"'
    b'{"type":"run_progressed","at":"2026-01-01T00:00:00.000000Z","run":"r","request":null,"workspace":"T0","user":null,'
    b'"data":{"agent":"","words":"'
    b'{"type":"request_asked","at":"2026-01-01T00:00:00.000000Z","run":"r","request":"q","workspace":"T0","user":null,'
    b'"data":{"agent":"","title":"'
    b'{"name":"progress/r","name":"waiting/q","name":"run/r","name":"card/q","workspace":"T0","channel":"C0","ts":"17",'
    b'"thread":"17","drawn":"","thread":"","drawn":"","request":"q","request":null,"posting_since":"2026-01-01T00:00:00.'
    b'000000Z","problem":""}'
    b'{"id":"r","workspace":"T0","channel":"C0","requester":"U0","team":"","task":"","created_at":"2026-01-01T00:00:00.000'
    b'000Z","status":"finished","open":{},"status":"running","status":"waiting","status":"parked","open":{"#0":"q"},'
    b'"progress":[{"at":"2026-01-01T00:00:00.000000Z","agent":"","words":"}],'
    b'"ended_at":null,"result":"","words":"","stopped_by":null}'
    b'{"id":"q","run":"r","workspace":"T0","channel":"C0","requester":"U0","question":{"agent":"","asked":0,"kind":"tool",'
    b'"kind":"choice","kind":"in_doubt","kind":"message","title":"","content":"","offers":["approve","reject","respond"]},'
    b'"digest":"","rules":{"approvals_channel":"C0","reviewers":{"users":["U0"],"groups":["S0"]},"users":[],"groups":["S0"'
    b']},"timeout":"PT1H","on_timeout":"approve","on_timeout":"wait","on_timeout":"reject","quorum":1,"own_requests":true,'
    b'"own_requests":false},"created_at":"2026-01-01T00:00:00.000000Z","deadline":"2026-01-01T00:00:00.000000Z","status":'
    b'"expired","status":"approved","votes":[{"workspace":"T0","user":"U0","at":"2026-01-01T00:00:00.000000Z",'
    b'"attempt":""}],"decision":{"outcome":"approved","how":"reviewers","at":"2026-01-01T00:00:00.000000Z","by":["U0"],'
    b'"words":"","attempt":""}}"deadline":null,"status":"pending","votes":[],"decision":null}'
)
OF_ENTRIES: Final = (
    b'"type":"settings_changed","type":"settings_refused","type":"stop_refused","type":"call_passed","type":"call_refused"'
    b'"type":"report_refused","type":"permission_given","type":"permission_revoked","type":"request_reminded",'
    b'"type":"request_escalated","type":"request_snoozed","type":"request_looked_at","type":"card_not_posted",'
    b'{"at":"2026-","data":{"problem":"","result":"","why":"","words":""},"outcome":"run_failed","outcome":"failed",'
    b'"type":"run_failed","outcome":"run_stopped","type":"run_stopped",'
    b'{"at":"2026-","data":{"refusal":"","verb":""},"event":"17","n":1,"outcome":"refused","type":"attempt_refused",'
    b'{"at":"2026-","data":{"digest":"","how":"timeout","how":"permission","how":"reviewers","outcome":"expired",'
    b'"outcome":"rejected","outcome":"approved","waited":"","words":""},"decision":{"arguments":"","at":"2026-","attempt":"'
    b'c","by":["U0"],"chosen":[],"how":"reviewers","instead_of":[],"outcome":"approved","standing":null,"votes":[{"at":"20'
    b'26-","attempt":"","chosen":[],"seat":null,"user":"U0","workspace":"T0"}],"words":""},"event":"17","outcome":"counted'
    b'","type":"vote_cast","type":"request_decided","user":"U0","what":{"digest":"","kind":"message","title":""},'
    b'"workspace":"T0"}{"at":"2026-","data":{},"event":"17","n":1,"outcome":"decision_delivered","previous":"",'
    b'"request":"q","run":"r","schema":1,"type":"decision_delivered","what":{"digest":"'
    b'{"at":"2026-01-01T00:00:00Z","data":{"agent":"","title":""},"event":"17","n":1,"outcome":"asked","previous":"",'
    b'"request":"q","rules":{"approvals_channel":"C0","break_glass":false,"clause":"","escalation":[],"on_timeout":"reject"'
    b',"on_timeout":"wait","own_requests":false,"quiet":{"days":[],"since":null,"until":null,"zone":"UTC"},"quorum":1,'
    b'"remind_after":0.0,"reviewers":{"groups":["S0"],"users":["U0"],"groups":[],"users":[]},"risk":"low","timeout":3600.0,'
    b'"why":""},"run":"r","schema":1,"type":"request_asked","what":{"agent":"","arguments":"{}","asked":0,"channel":"C0",'
    b'"content":"","deadline":"2026-01-01T00:00:00+00:00","deadline":null,"digest":"","hidden":0,"kind":"tool","kind":"'
    b'choice","kind":"message","offers":["approve","edit","reject","respond"],"offers":["approve","reject","respond"],'
    b'"requester":"U0","title":"","tool":""},"workspace":"T0"}'
    b'{"at":"2026-01-01T00:00:00.000000Z","data":{"result":""},"event":"17","n":1,"outcome":"run_finished","previous":"",'
    b'"run":"r","schema":1,"type":"run_finished","workspace":"T0"}'
    b'{"at":"2026-01-01T00:00:00.000000Z","data":{"team":""},"event":"17","n":1,"outcome":"run_queued","previous":"",'
    b'"run":"r","schema":1,"type":"run_queued","user":"U0","workspace":"T0"}'
    b'{"at":"2026-01-01T00:00:00.000000Z","data":{"owner":""},"event":"17","n":1,"outcome":"run_started","previous":"",'
    b'"run":"r","schema":1,"type":"run_started","workspace":"T0"}'
)
"""Part of the format, both: with one byte of them changed, nothing that was packed with it can be read."""
_WINDOW: Final = -13
_DICTIONARIES: Final = {RECORD: _OF_RECORDS, ENTRY: OF_ENTRIES}
_PACKERS: Final = {
    number: zlib.compressobj(5, zlib.DEFLATED, _WINDOW, 4, zlib.Z_DEFAULT_STRATEGY, words)
    for number, words in _DICTIONARIES.items()
}
_READERS: Final = {number: zlib.decompressobj(_WINDOW, words) for number, words in _DICTIONARIES.items()}


def pack(plain: bytes, number: bytes = RECORD) -> bytes:
    """The bytes to store for some JSON: packed with the dictionary of that number, unless that takes more of them."""
    packer = _PACKERS[number].copy()
    packed = number + packer.compress(plain) + packer.flush()
    return packed if len(packed) < len(plain) else plain


def unpack(stored: bytes) -> bytes:
    """The JSON again. UnknownSchema if the bytes are packed in a way that this program does not know, or broken."""
    if stored[:1] >= b" ":
        return stored
    if stored[:1] not in _READERS:
        raise UnknownSchema("A stored record is packed in a way that this program does not know. It was left as it is.")
    reader = _READERS[stored[:1]].copy()
    try:
        return reader.decompress(stored[1:]) + reader.flush()
    except zlib.error as wrong:
        raise UnknownSchema(f"A stored record cannot be unpacked: {wrong}. It was left as it is.") from wrong
