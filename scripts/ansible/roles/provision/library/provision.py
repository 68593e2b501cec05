#!/usr/bin/python
"""Runs provision and tells Ansible, from the JSON that provision prints, what has changed or would change."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: provision
short_description: Make a machine's network what its configuration says
description:
  - Puts the configuration in place, applies it, and puts the old one back when provision has gone back.
  - In check mode the plan of the new configuration is made, and nothing is written.
options:
  program:
    description: Path of provision.
    type: path
    default: /usr/local/bin/provision
  candidate:
    description:
      - A file on the machine with the new configuration, which is taken away in any case; empty leaves what the machine has.
      - It is no text of the task, because what a task is given stands in the machine's journal. It has to be where nobody but root
        can write, on the whole way to it.
    type: str
    default: ""
  config_path:
    description: Where it is kept.
    type: path
    default: /etc/provision/provision.yaml
  state:
    description: C(applied), C(verified) (looks only, fails where something has drifted) or C(reverted).
    choices: [applied, verified, reverted]
    default: applied
  settle:
    description: How long the network's daemons may take to bring the outcome about, as C(10s) or C(1m).
    type: str
    default: 10s
"""

RETURN = r"""
changes: {description: "each piece of state that is changed: ref, op, have, want, why (docs/commands.md)", type: list, returned: success}
triggers: {description: what is run because of it, type: list, returned: success}
notes: {description: what is worth knowing, type: list, returned: success}
winners: {description: by which NIC the world is reached, type: list, returned: in check mode and with diff}
"""

import json
import os
import re

from ansible.module_utils.basic import AnsibleModule

# exit statuses of provision (docs/commands.md)
OK, DIFFERENCES = 0, 2

DEFAULT_CONFIG = "/etc/provision/provision.yaml"


def main():
    module = AnsibleModule(
        argument_spec=dict(
            program=dict(type="path", default="/usr/local/bin/provision"),
            candidate=dict(type="str", default=""),
            config_path=dict(type="path", default=DEFAULT_CONFIG),
            state=dict(choices=["applied", "verified", "reverted"], default="applied"),
            settle=dict(type="str", default="10s"),
        ),
        supports_check_mode=True,
    )
    p = module.params
    try:
        if not os.path.exists(p["program"]):
            if module.check_mode and p["state"] != "verified":
                module.exit_json(changed=p["state"] == "applied", changes=[], triggers=[], notes=[],
                                 msg="%s is not there yet, so what it would do is not known" % p["program"])
            module.fail_json(msg="%s is not there: set provision_program, or install the package and set provision_path" % p["program"])
        {"applied": applied, "verified": verified, "reverted": reverted}[p["state"]](module)
    finally:
        if p["candidate"] and os.path.exists(p["candidate"]):
            os.unlink(p["candidate"])


def run(module, *args, **kw):
    """Returns what provision printed as JSON; every status that is not in good is a failure, told in its own words."""
    good = kw.get("good", (OK,))
    argv = [module.params["program"]] + list(args) + ["-o", "json"]
    rc, out, err = module.run_command(argv)
    if rc not in good:
        module.fail_json(msg=err.strip() or out.strip() or "provision ended with status %d" % rc, rc=rc, cmd=" ".join(argv))
    try:
        return rc, json.loads(out or "{}")
    except ValueError as e:
        module.fail_json(msg="provision printed no JSON: %s" % e, rc=rc, cmd=" ".join(argv), stdout=out)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read().decode("utf-8", "replace")
    except (IOError, OSError):
        return None


def applied(module):
    p = module.params
    old = read(p["config_path"])
    new = read(p["candidate"]) if p["candidate"] else old
    fresh = new != old
    named = [] if p["config_path"] == DEFAULT_CONFIG or new is None else ["-c", p["config_path"]]
    preview = run(module, "plan", *(["-c", p["candidate"]] if fresh else named))[1]
    plan = preview["plan"]
    result = dict(
        changed=fresh or bool(plan["changes"]) or bool(plan.get("triggers")),
        diff=([texts(p["config_path"], masked(old), masked(new))] if fresh else []) + [difference(c) for c in plan["changes"]],
        changes=plan["changes"],
        triggers=[t["name"] for t in plan.get("triggers") or []],
        notes=plan.get("notes") or [],
        winners=preview.get("winners_after") or [],
    )
    if module.check_mode:
        module.exit_json(**result)
    if fresh:
        put(p["config_path"], new)
    argv = [p["program"], "apply", "--settle", p["settle"], "-o", "json"] + named
    rc, out, err = module.run_command(argv)
    if rc != OK:
        if fresh:  # the network is as before, and so is what will be made of it at the next boot
            put(p["config_path"], old)
        module.fail_json(msg=err.strip() or "provision apply ended with status %d" % rc, rc=rc, cmd=" ".join(argv), changes=result["changes"])
    done = json.loads(out)["result"]
    result.update(
        changed=fresh or done["writes"] > 0 or bool(done.get("triggers")),
        changes=done.get("effects") or [],
        triggers=done.get("triggers") or [],
        notes=done.get("notes") or [],
    )
    module.exit_json(**result)


def put(path, text):
    """Writes beside where it goes, so that the last step is one rename; None takes away."""
    if text is None:
        os.unlink(path)
        return
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        os.makedirs(folder, 0o755)
    beside = os.path.join(folder, ".provision.yaml.ansible")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(text.encode("utf-8"))
        f.flush()
        os.fsync(f.fileno())
    os.rename(beside, path)


def masked(text):
    """What is shown of a configuration: keys and passphrases are not."""
    return None if text is None else re.sub(r"(?mi)^(.*\b(?:private-key|preshared-key|psk|passphrase|password|key)\s*:).*$", r"\1 (not shown)", text)


def verified(module):
    rc, out = run(module, "verify", good=(OK, DIFFERENCES))
    drift, unmet = out.get("drift") or [], out.get("unmet") or []
    result = dict(changed=False, changes=drift, unmet=unmet, notes=out.get("notes") or [], triggers=[], diff=[difference(c) for c in drift])
    if rc == DIFFERENCES:
        module.fail_json(msg="%d pieces of state have drifted, %d expectations do not hold" % (len(drift), len(unmet)), rc=rc, **result)
    module.exit_json(**result)


def reverted(module):
    if module.check_mode:
        module.exit_json(changed=os.path.isdir("/var/lib/provision/engine"), changes=[], triggers=[], notes=[],
                         msg="provision revert tells what it takes back when it does it")
    out = run(module, "revert")[1]
    effects = out.get("effects") or []
    module.exit_json(changed=out.get("writes", 0) > 0, changes=effects, triggers=out.get("triggers") or [], notes=out.get("notes") or [],
                     diff=[difference(c) for c in effects])


def texts(name, old, new):
    return dict(before_header=name, after_header=name, before=old or "", after=new or "")


def difference(change):
    """One change as --diff shows it: the content of a file line by line, other state as its attributes."""
    name = "%s %s" % (change["ref"]["kind"], change["ref"]["name"])
    have, want = change.get("have") or {}, change.get("want") or {}
    return texts(name, lines(have, want), lines(want, have if change.get("want") else {}))


def lines(attrs, other):
    """The attributes, without those that both sides have alike; content is last and as it is."""
    out = ["%s: %s" % (k, attrs[k]) for k in sorted(attrs) if k != "content" and attrs[k] != other.get(k)]
    text = "".join(line + "\n" for line in out)
    return text + attrs.get("content", "")


if __name__ == "__main__":
    main()
