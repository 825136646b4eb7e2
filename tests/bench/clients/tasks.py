"""Measures tasks as a client of the v1 scheduler API sees them. Standard library only; prints JSON."""

import http.client
import json
import sys
import time


class Driver:
    def __init__(self, address):
        self.address = address
        self.calls = http.client.HTTPConnection(address)
        body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "bench"}}}
        self.stream_connection = http.client.HTTPConnection(address, timeout=60)
        self.stream_connection.request(
            "POST", "/api/v1/scheduler", json.dumps(body),
            {"Content-Type": "application/json", "Accept": "application/json"})
        self.stream = self.stream_connection.getresponse()
        assert self.stream.status == 200, self.stream.read()
        self.stream_id = self.stream.getheader("Mesos-Stream-Id")
        self.framework_id = self.event()["subscribed"]["framework_id"]

    def event(self):
        length = int(self.stream.readline())
        return json.loads(self.stream.read(length))

    def call(self, **call):
        call["framework_id"] = self.framework_id
        self.calls.request(
            "POST", "/api/v1/scheduler", json.dumps(call),
            {"Content-Type": "application/json", "Mesos-Stream-Id": self.stream_id})
        answer = self.calls.getresponse()
        text = answer.read()
        assert answer.status == 202, (answer.status, text)

    def events(self):
        """Yields events and acknowledges updates on the way."""
        while True:
            event = self.event()
            seen = time.perf_counter()
            if event["type"] == "UPDATE":
                status = event["update"]["status"]
                if "uuid" in status:
                    self.call(type="ACKNOWLEDGE", acknowledge={
                        "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]})
            yield event, seen


def scalar(name, value):
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def task(number, offer, cpus, mem):
    return {
        "name": "t%d" % number, "task_id": {"value": "t%d" % number}, "agent_id": offer["agent_id"],
        "command": {"value": "true"}, "resources": [scalar("cpus", cpus), scalar("mem", mem)],
    }


def launch(driver, offer, tasks):
    driver.call(type="ACCEPT", accept={
        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0},
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}]})


def available(offer, name):
    return sum(r["scalar"]["value"] for r in offer["resources"] if r["name"] == name)


def state(event):
    return event["update"]["status"]["state"] if event["type"] == "UPDATE" else None


def check(event):
    bad = ("TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_KILLED", "TASK_DROPPED")
    assert state(event) not in bad, event["update"]["status"]


def burst(driver, events, count):
    """All at once; seconds from the ACCEPT to the last FINISHED."""
    started, finished = None, 0
    for event, seen in events:
        check(event)
        if event["type"] == "OFFERS":
            for offer in event["offers"]["offers"]:
                if started is None:
                    started = time.perf_counter()
                    launch(driver, offer, [task(n, offer, 0.02, 32) for n in range(count)])
                else:
                    driver.call(type="DECLINE", decline={
                        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 3600}})
        elif state(event) == "TASK_FINISHED":
            finished += 1
            if finished == count:
                return finished, seen - started


def singles(driver, events, count):
    """One at a time, each taking the whole offer, so that its end is what makes the next one."""
    driver.call(type="REVIVE", revive={})
    to_running, to_offer, finished = [], [], 0
    accepted = freed = None
    busy = False
    for event, seen in events:
        check(event)
        if event["type"] == "OFFERS":
            for offer in event["offers"]["offers"]:
                cpus, mem = available(offer, "cpus"), available(offer, "mem")
                if busy or cpus < 8:
                    driver.call(type="DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0}})
                    continue
                if freed is not None:
                    to_offer.append(seen - freed)
                if finished == count:
                    return finished, to_running, to_offer
                accepted, busy = time.perf_counter(), True
                launch(driver, offer, [task(100000 + finished, offer, cpus, mem)])
        elif state(event) == "TASK_RUNNING":
            to_running.append(seen - accepted)
        elif state(event) == "TASK_FINISHED":
            finished, freed, busy = finished + 1, seen, False


def main():
    address, many, single = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    driver = Driver(address)
    events = driver.events()
    first, seconds = burst(driver, events, many)
    second, to_running, to_offer = singles(driver, events, single)
    driver.call(type="TEARDOWN")
    json.dump({
        "launched": many + single, "finished": first + second, "burst_seconds": seconds,
        "accept_to_running": to_running, "freed_to_offer": to_offer,
    }, sys.stdout)


main()
