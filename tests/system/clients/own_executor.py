"""Runs a task on an executor of its own through the unmodified pymesos drivers, both sides of them in this file.

As a scheduler (one argument, the master's address) it launches a task whose executor is this same file, sends it a word,
hears it back, kills the task, and hears that the executor has ended. Without an argument it is that executor.
"""

import os
import shutil
import sys
import tempfile
import threading

import addict
import pymesos
from addict import Dict
from pymesos import Executor, MesosExecutorDriver, MesosSchedulerDriver, Scheduler, decode_data, encode_data


def scalars(cpus, mem):
    return [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}},
    ]


def copy_for_containers(folder):
    """This file and what it imports, where a container sees it: a checkout may lie below /tmp, and each has its own."""
    for package in (addict, pymesos):
        shutil.copytree(os.path.dirname(package.__file__), os.path.join(folder, package.__name__))
    return shutil.copy(os.path.abspath(__file__), folder)


class Own(Scheduler):
    def __init__(self, folder):
        self.command = "PYTHONPATH=%s exec /usr/bin/python3 %s" % (folder, copy_for_containers(folder))
        self.said = []
        self.heard = set()
        self.launched = False
        self.started = threading.Event()
        self.done = threading.Event()

    def resourceOffers(self, driver, offers):
        # The driver may still be starting in the other thread, and closes a connection at the end of that.
        self.started.wait()
        for offer in offers:
            if self.launched:
                driver.declineOffer(offer.id)
                continue
            self.launched = True
            task = Dict()
            task.task_id.value = "task"
            task.name = "task"
            task.agent_id.value = offer.agent_id.value
            task.resources = scalars(0.1, 32)
            task.executor.type = "CUSTOM"
            task.executor.executor_id.value = "own"
            task.executor.framework_id.value = driver.framework_id
            task.executor.command.value = self.command
            task.executor.resources = scalars(1, 64)
            task.data = encode_data(b"begin")
            driver.launchTasks(offer.id, [task])

    def statusUpdate(self, driver, update):
        print(update.state, update.get("message"), flush=True)
        # An update that is acknowledged late comes again, as with Mesos.
        uuid = update.get("uuid")
        if uuid and uuid in self.heard:
            return
        self.heard.add(uuid)
        self.said.append(update.state)
        if update.state == "TASK_RUNNING":
            driver.sendFrameworkMessage(update.executor_id, update.agent_id, encode_data(b"word"))
        elif update.state != "TASK_KILLED":
            self.done.set()

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        self.said.append(decode_data(message).decode())
        driver.killTask(Dict(value="task"))

    def executorLost(self, driver, executor_id, agent_id, status):
        self.said.append("executor lost")
        self.done.set()


class OwnExecutor(Executor):
    def update(self, driver, task_id, state):
        update = Dict(state=state)
        update.task_id = task_id
        driver.sendStatusUpdate(update)

    def launchTask(self, driver, task):
        assert decode_data(task.data) == b"begin"
        self.update(driver, task.task_id, "TASK_RUNNING")

    def frameworkMessage(self, driver, message):
        driver.sendFrameworkMessage(encode_data(b"heard " + decode_data(message)))

    def killTask(self, driver, task_id):
        self.update(driver, task_id, "TASK_KILLED")
        driver.stop()


def schedule(address, folder):
    scheduler = Own(folder)
    framework = Dict(user="root", name="own executor", checkpoint=True)
    driver = MesosSchedulerDriver(scheduler, framework, address, use_addict=True)
    driver.start()
    scheduler.started.set()
    in_time = scheduler.done.wait(240)
    driver.stop()
    driver.join()
    print(scheduler.said, "in time", in_time, flush=True)
    wanted = ["TASK_RUNNING", "heard word", "TASK_KILLED", "executor lost"]
    sys.exit(0 if scheduler.said == wanted else 1)


if len(sys.argv) > 1:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="chapada-executor-") as folder:
        schedule(sys.argv[1], folder)
else:
    MesosExecutorDriver(OwnExecutor(), use_addict=True, http_timeout=60).run()
