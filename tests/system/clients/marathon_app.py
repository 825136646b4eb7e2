"""Creates, scales, lists and deletes an app through the unmodified `marathon` client."""

import sys
import time

from marathon import MarathonClient
from marathon.exceptions import NotFoundError
from marathon.models import MarathonApp


def eventually(what, look):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    sys.exit("waited 60 s until " + what)


def running(client):
    tasks = client.list_tasks("client/app")
    return [task for task in tasks if task.state == "TASK_RUNNING"]


def main():
    client = MarathonClient("http://" + sys.argv[1])
    assert b"pong" in client.ping(), "ping"
    info = client.get_info()
    assert info.framework_id, "info has the framework's id"

    app = MarathonApp(cmd="sleep 1000", cpus=0.1, mem=32, instances=2, labels={"made-by": "client"})
    created = client.create_app("client/app", app)
    assert created.id == "/client/app", created.id
    eventually("two instances run", lambda: len(running(client)) == 2)

    client.scale_app("client/app", instances=4)
    tasks = eventually("four instances run", lambda: len(running(client)) == 4 and running(client))
    assert len({task.id for task in tasks}) == 4, "instances have ids of their own"

    apps = client.list_apps()
    assert [a.id for a in apps] == ["/client/app"], apps
    assert apps[0].labels == {"made-by": "client"}, apps[0].labels
    eventually("the counts are there", lambda: client.get_app("client/app").tasks_running == 4)
    eventually("no deployment is left", lambda: client.list_deployments() == [])

    client.scale_app("client/app", delta=-3)
    eventually("one instance is left", lambda: len(running(client)) == 1)
    eventually("no deployment is left", lambda: client.list_deployments() == [])

    client.kill_task("client/app", running(client)[0].id)
    eventually("the killed instance is back", lambda: len(running(client)) == 1)

    client.delete_app("client/app", force=True)
    eventually("no app is left", lambda: client.list_apps() == [])
    try:
        client.get_app("client/app")
        sys.exit("a deleted app was found")
    except NotFoundError:
        pass


main()
