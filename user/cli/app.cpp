// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/app.h"

#include <algorithm>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/reasons.h"

namespace anycast::cli {

namespace {

constexpr std::string_view kFooter =
	"Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 not attached,\n"
	"            4 the kernel or driver lacks a feature, 10 apply --exit-code changed "
	"something.\n"
	"Data goes to stdout, messages to stderr. `anycast-xdp COMMAND --help` explains a command.";

void add_globals(CLI::App &app, Globals &globals)
{
	const auto common = [](CLI::Option *option) { option->group("Everywhere"); };
	common(app.add_flag("--json", globals.json, "Data as JSON"));
	common(app.add_option("--config", globals.config, "Configuration [" AX_DEFAULT_CONFIG "]")
		       ->type_name("FILE"));
	common(app.add_option("--dev", globals.device, "Only this attached interface [all of them]")
		       ->type_name("DEV"));
	common(app.add_option("--pins", globals.pins, "Pin directory [" AX_DEFAULT_PIN_DIR "]")
		       ->type_name("DIR")
		       ->envname("ANYCAST_XDP_PIN_DIR"));
	common(app.add_option("--state", globals.state,
			      "State directory [" AX_DEFAULT_STATE_DIR "]")
		       ->type_name("DIR")
		       ->envname("ANYCAST_XDP_STATE_DIR"));
	common(app.add_option("--socket", globals.socket, "The agent's socket [STATE/agent.sock]")
		       ->type_name("PATH")
		       ->envname("ANYCAST_XDP_SOCKET"));
}

// Every command's help ends by saying where the global options are explained.
void add_footers(CLI::App &app)
{
	constexpr const char *kGlobals =
		"--json, --config, --dev, --pins, --state, --socket: anycast-xdp --help";
	for (CLI::App *command : app.get_subcommands([](CLI::App *) { return true; })) {
		const std::string own = command->get_footer();
		command->footer(own + (own.empty() ? "" : "\n\n") + kGlobals);
		add_footers(*command);
	}
}

std::vector<std::string> command_names(const CLI::App &app)
{
	std::vector<std::string> names;
	for (const CLI::App *command : app.get_subcommands([](const CLI::App *) { return true; }))
		names.push_back(command->get_name());
	return names;
}

bool takes_value(const CLI::App &app, const std::string &argument)
{
	const CLI::Option *option = app.get_option_no_throw(argument);
	return option && option->get_expected_min() > 0;
}

// CLI11 only says that arguments were left over. Finds the word that is no command, if that was it.
std::string unknown_command(const CLI::App &root, const std::vector<std::string> &arguments)
{
	const CLI::App *app = &root;
	for (std::size_t i = 0; i < arguments.size() && !command_names(*app).empty(); i++) {
		const std::string &word = arguments[i];
		if (word.starts_with('-')) {
			i += takes_value(root, word);
			continue;
		}
		const CLI::App *next = nullptr;
		for (const CLI::App *command :
		     app->get_subcommands([](const CLI::App *) { return true; }))
			if (command->get_name() == word)
				next = command;
		if (next) {
			app = next;
			continue;
		}
		const std::vector<std::string> names = command_names(*app);
		const auto nearest = std::ranges::min_element(
			names, {}, [&](const auto &name) { return edit_distance(word, name); });
		const bool likely = edit_distance(word, *nearest) <= 1 + word.size() / 3;
		const std::string prefix = app == &root ? "" : app->get_name() + " ";
		return fmt::format("unknown command \"{}{}\"\n{}", prefix, word,
				   likely ? fmt::format("did you mean \"{}{}\"?", prefix, *nearest)
					  : fmt::format("commands: {}", fmt::join(names, " ")));
	}
	return "";
}

Status usage_error(const CLI::App &app, const std::vector<std::string> &arguments,
		   const CLI::ParseError &error)
{
	const std::string unknown = unknown_command(app, arguments);
	if (!unknown.empty()) {
		const std::size_t line = unknown.find('\n');
		return fail(Exit::kUsage, unknown.substr(0, line), unknown.substr(line + 1));
	}
	std::string command = "anycast-xdp";
	for (auto chosen = app.get_subcommands(); !chosen.empty();
	     chosen = chosen.front()->get_subcommands())
		command += " " + chosen.front()->get_name();
	return fail(Exit::kUsage, error.what(), fmt::format("see: {} --help", command));
}

} // namespace

Status run(std::vector<std::string> arguments, std::ostream &out, std::ostream &err)
{
	CLI::App app{"XDP load balancer, guard and per-flow loss reporter for anycast edges",
		     "anycast-xdp"};
	app.fallthrough(); // subcommands inherit it: global options may stand behind the command
	app.footer(std::string(kFooter));
	app.require_subcommand(1);
	app.get_formatter()->column_width(34);

	Globals globals;
	Action chosen;
	add_globals(app, globals);
	add_attach(app, chosen);
	add_status(app, chosen);
	add_config(app, chosen);
	add_objects(app, chosen);
	add_maps(app, chosen);
	add_stats(app, chosen);
	add_drops(app, chosen);
	add_flows(app, chosen);
	add_replay(app, chosen);
	add_plan(app, chosen);
	add_explain(app, chosen);
	add_bird(app, chosen);
	add_announce(app, chosen);
	add_features(app, chosen);
	add_agent(app, chosen);
	add_check(app, chosen);
	add_version(app, chosen);
	add_footers(app);

	try {
		app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
	} catch (const CLI::CallForHelp &) {
		out << app.help();
		return {};
	} catch (const CLI::ParseError &error) {
		return usage_error(app, arguments, error);
	}
	return chosen(Context(globals, out, err));
}

} // namespace anycast::cli
