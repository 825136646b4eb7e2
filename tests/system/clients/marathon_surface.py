"""Calls every public method of the unmodified `marathon` client once at least, against a cluster that runs tasks.

Of its methods only those of `/v2/eventSubscriptions` have nothing to talk to: Marathon has dropped them."""

import collections
import collections.abc
import inspect
import json
import sys
import threading
import time

# The client was written before Python 3.10 took this name away.
collections.Iterable = collections.abc.Iterable

from marathon import MarathonClient
from marathon.exceptions import MarathonHttpError, NotFoundError
from marathon.models import MarathonApp, MarathonGroup
from marathon.models.events import EventFactory

DROPPED = {"list_event_subscriptions", "create_event_subscription", "delete_event_subscription"}


class Noted:
    """The client, with the names of the methods that were called."""

    def __init__(self, client):
        self._client = client
        self.called = set()

    def __getattr__(self, name):
        self.called.add(name)
        return getattr(self._client, name)


def eventually(what, look):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            found = look()
        except MarathonHttpError:
            found = None
        if found:
            return found
        time.sleep(0.05)
    sys.exit("waited 60 s until " + what)


def settled(client):
    eventually("no deployment is left", lambda: client.list_deployments() == [])


def running(client, app, count):
    def look():
        tasks = [task for task in client.list_tasks(app) if task.state == "TASK_RUNNING"]
        return len(tasks) == count and (tasks or True)

    return eventually("%s has %d tasks" % (app, count), look)


def listen(address, heard, raw):
    def run():
        client = MarathonClient("http://" + address)
        types = [name for name in EventFactory.event_to_class if not name.startswith("pod_")]
        for event in client.event_stream(raw=raw, event_types=types):
            heard.append(event)

    threading.Thread(target=run, daemon=True).start()


def app(cmd="sleep 1000", **more):
    return MarathonApp(cmd=cmd, cpus=0.05, mem=16, **more)


def apps(client):
    created = client.create_app("one/app", app(instances=2, labels={"tier": "web"}))
    assert created.id == "/one/app" and created.deployments, created
    running(client, "one/app", 2)
    settled(client)
    listed = client.list_apps(
        cmd="SLEEP", app_id="one", label="tier==web", embed_tasks=True, embed_counts=True, embed_deployments=True,
        embed_readiness=True, embed_last_task_failure=True, embed_failures=True, embed_task_stats=True)
    assert [(found.id, found.tasks_running, len(found.tasks)) for found in listed] == [("/one/app", 2, 2)], listed
    assert listed[0].task_stats.total_summary.stats.counts.running == 2, listed[0].task_stats
    assert client.list_apps(label="tier!=web") == []
    found = client.get_app("one/app", embed_task_stats=True, embed_readiness=True)
    assert len(found.tasks) == 2 and found.instances == 2
    first = found.version
    assert client.update_app("one/app", app(cmd="sleep 2000", instances=2))["deploymentId"]
    settled(client)
    versions = client.list_versions("one/app")
    assert len(versions) == 2 and client.get_version("one/app", versions[-1]).cmd == "sleep 1000", versions
    assert client.rollback_app("one/app", versions[-1])["version"]
    settled(client)
    assert client.get_app("one/app").cmd == "sleep 1000" and client.get_app("one/app").version != first
    before = {task.id for task in running(client, "one/app", 2)}
    assert client.restart_app("one/app")["deploymentId"]
    settled(client)
    assert not before & {task.id for task in running(client, "one/app", 2)}, "every task was replaced"
    two = app(instances=0)
    two.id = "/two"
    client.create_app("two", app(instances=0))
    settled(client)
    two.instances = 1
    assert client.update_apps([two], force=True)["deploymentId"]
    running(client, "two", 1)
    settled(client)
    client.scale_app("two", delta=1)
    running(client, "two", 2)
    client.scale_app("two", instances=1, force=True)
    running(client, "two", 1)
    settled(client)


def tasks(client):
    endpoints = client.list_endpoints()
    assert {endpoint.app_id for endpoint in endpoints} == {"/one/app", "/two"}, endpoints
    assert all(endpoint.task_port >= 31000 for endpoint in endpoints), endpoints
    one = running(client, "one/app", 2)[0]
    assert client.kill_task("one/app", one.id).id == one.id
    eventually("it is replaced", lambda: one.id not in {t.id for t in running(client, "one/app", 2)})
    killed = client.kill_tasks("one/app", host=one.host)
    assert len(killed) == 2, killed
    gone = {task.id for task in killed}
    eventually("they are replaced", lambda: not gone & {t.id for t in running(client, "one/app", 2)})
    assert client.kill_tasks("one/app", host="nowhere.invalid") == []
    given = running(client, "one/app", 2)[0].id
    assert client.kill_given_tasks([given], scale=True, force=True)
    running(client, "one/app", 1)
    settled(client)
    assert client.get_app("one/app").instances == 1
    try:
        client.kill_task("one/app", "one_app.none")
        sys.exit("a task that is not there was killed")
    except NotFoundError:
        pass


def groups(client):
    made = client.create_group(MarathonGroup(id="/team", apps=[app(id="/team/a")]))
    assert made["version"], made
    settled(client)
    assert {"/one", "/team"} <= {group.id for group in client.list_groups()}
    team = client.get_group("team")
    assert [found.id for found in team.apps] == ["/team/a"], team
    old = team.version
    client.scale_group("team", 2)
    settled(client)
    assert client.get_app("team/a").instances == 2
    team = MarathonGroup(apps=[app(cmd="sleep 3000", id="/team/a")])
    assert client.update_group("team", team, force=True)["version"]
    settled(client)
    assert client.get_app("team/a").cmd == "sleep 3000"
    assert client.rollback_group("team", old, force=True)["version"]
    settled(client)
    assert client.get_app("team/a").cmd == "sleep 1000"
    assert client.delete_group("team", force=True)["version"]
    eventually("the group is gone", lambda: "/team" not in {group.id for group in client.list_groups()})
    settled(client)


def waiting(client):
    client.create_app("huge", MarathonApp(cmd="sleep 1", cpus=10000, mem=16))
    queue = eventually("it waits", lambda: client.list_queue(embed_last_unused_offers=True))
    assert queue[0].app.id == "/huge" and queue[0].delay.overdue in (True, False), queue
    client.reset_delay("huge")
    deployment = eventually("its deployment is there", client.list_deployments)[0]
    assert deployment.affected_apps == ["/huge"], deployment
    assert client.delete_deployment(deployment.id)["deploymentId"]
    settled(client)
    client.create_app("huge", MarathonApp(cmd="sleep 1", cpus=10000, mem=16))
    deployment = eventually("its deployment is there", client.list_deployments)[0]
    assert client.delete_deployment(deployment.id, force=True) == {}
    settled(client)
    assert client.delete_app("huge", force=True)["deploymentId"]
    settled(client)


def process(client):
    assert b"pong" in client.ping()
    info = client.get_info()
    assert info.name == "marathon" and info.elected and info.framework_id, info
    assert client.get_leader()["leader"] == info.leader
    assert client.get_metrics()["gauges"]["marathon.instances.running.gauge"]["value"] == 2
    assert client.get_metrics()["counters"]["marathon.tasks.launched.counter"]["count"] > 2
    before = {task.id for task in running(client, "one/app", 1)}
    assert client.delete_leader() == {"message": "Leadership abdicated"}
    eventually("somebody leads again", lambda: client.get_leader()["leader"] == info.leader)
    eventually("it is subscribed", lambda: client.get_info().framework_id == info.framework_id)
    assert before == {task.id for task in running(client, "one/app", 1)}, "its tasks run on"


def main():
    address = sys.argv[1]
    client = Noted(MarathonClient("http://" + address))
    heard, heard_raw = [], []
    client.called.add("event_stream")
    listen(address, heard, raw=False)
    listen(address, heard_raw, raw=True)
    eventually("both streams are attached", lambda: heard and heard_raw)
    apps(client)
    tasks(client)
    groups(client)
    waiting(client)
    wanted = {
        "api_post_event", "status_update_event", "instance_changed_event", "deployment_info", "deployment_success",
        "deployment_step_success", "deployment_failed", "group_change_success", "app_terminated_event",
    }
    raw = lambda: {json.loads(event)["eventType"] for event in list(heard_raw)}
    eventually("events came: %s" % (wanted - raw()), lambda: wanted <= raw())
    eventually("all of them", lambda: wanted <= {event.event_type for event in list(heard)})
    process(client)
    public = {
        name for name, _ in inspect.getmembers(MarathonClient, inspect.isfunction) if not name.startswith("_")
    }
    missed = public - client.called - DROPPED
    assert not missed, "never called: %s" % missed


main()
