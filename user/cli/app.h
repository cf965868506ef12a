// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The command line: global options, and one add_...() per family of commands.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "cli/context.h"
#include "util/result.h"

namespace CLI {
class App;
}

namespace anycast::cli {

// `arguments` without the program's name. Help goes to `out`.
Status run(std::vector<std::string> arguments, std::ostream &out, std::ostream &err);

// Each declares its commands; a parsed command leaves its action in `chosen`.
void add_attach(CLI::App &app, Action &chosen);	  // attach, detach
void add_status(CLI::App &app, Action &chosen);	  // status
void add_config(CLI::App &app, Action &chosen);	  // validate, apply, diff
void add_objects(CLI::App &app, Action &chosen);  // vip, backend
void add_maps(CLI::App &app, Action &chosen);	  // map
void add_stats(CLI::App &app, Action &chosen);	  // stats
void add_drops(CLI::App &app, Action &chosen);	  // drops
void add_flows(CLI::App &app, Action &chosen);	  // flows, loss
void add_replay(CLI::App &app, Action &chosen);	  // replay
void add_plan(CLI::App &app, Action &chosen);	  // plan
void add_explain(CLI::App &app, Action &chosen);  // explain
void add_bird(CLI::App &app, Action &chosen);	  // bird
void add_announce(CLI::App &app, Action &chosen); // announce, withdraw, drain
void add_features(CLI::App &app, Action &chosen); // features
void add_agent(CLI::App &app, Action &chosen);	  // agent, metrics
void add_check(CLI::App &app, Action &chosen);	  // check
void add_version(CLI::App &app, Action &chosen);  // version

} // namespace anycast::cli
