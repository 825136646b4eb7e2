"""Runs ten tasks to TASK_FINISHED through the unmodified pymesos driver; prints one line a task."""

import sys
import threading
import uuid

from addict import Dict
from pymesos import MesosSchedulerDriver, Scheduler

WANTED = 10


class TenTasks(Scheduler):
    def __init__(self):
        self.launched = 0
        self.finished = set()
        self.failed = []
        self.started = threading.Event()
        self.done = threading.Event()

    def resourceOffers(self, driver, offers):
        # The driver may still be starting in the other thread, and closes a connection at the end of that.
        self.started.wait()
        for offer in offers:
            cpus = sum(r.scalar.value for r in offer.resources if r.name == "cpus")
            mem = sum(r.scalar.value for r in offer.resources if r.name == "mem")
            tasks = []
            while self.launched < WANTED and cpus >= 0.1 and mem >= 32:
                cpus -= 0.1
                mem -= 32
                self.launched += 1
                tasks.append(self.task(offer))
            if tasks:
                driver.launchTasks(offer.id, tasks)
            else:
                driver.declineOffer(offer.id)

    def task(self, offer):
        task = Dict()
        task.task_id.value = str(uuid.uuid4())
        task.agent_id.value = offer.agent_id.value
        task.name = "task %d" % self.launched
        task.command.value = "echo $MESOS_SANDBOX; exit 0"
        task.resources = [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ]
        return task

    def statusUpdate(self, driver, update):
        if update.state == "TASK_FINISHED":
            self.finished.add(update.task_id.value)
            print("finished", update.task_id.value, flush=True)
        elif update.state in ("TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_KILLED", "TASK_DROPPED"):
            self.failed.append((update.state, update.message))
        if len(self.finished) == WANTED or self.failed:
            self.done.set()


def main():
    scheduler = TenTasks()
    framework = Dict(user="root", name="ten tasks", checkpoint=True)
    driver = MesosSchedulerDriver(scheduler, framework, sys.argv[1], use_addict=True)
    driver.start()
    scheduler.started.set()
    in_time = scheduler.done.wait(240)
    driver.stop()
    driver.join()
    print("failed", scheduler.failed, "in time", in_time, flush=True)
    sys.exit(0 if in_time and len(scheduler.finished) == WANTED and not scheduler.failed else 1)


main()
