// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp announce, withdraw, drain: by the agent where one runs, else on BIRD's include file.
#include <algorithm>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/announce.h"
#include "cli/app.h"
#include "net/control_client.h"
#include "render/bird.h"
#include "render/table.h"

namespace anycast::cli {

namespace {

constexpr std::chrono::milliseconds kAgentPatience{15000};

// "90", "30s", "10m", "2h", "1d".
std::string parse_duration(const std::string &text, double &seconds)
{
	constexpr std::pair<char, double> kUnits[] = {
		{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	std::string digits = text;
	double unit = 1;
	for (const auto &[letter, length] : kUnits)
		if (digits.ends_with(letter)) {
			digits.pop_back();
			unit = length;
			break;
		}
	if (digits.empty() || digits.size() > 8 ||
	    digits.find_first_not_of("0123456789") != digits.npos)
		return fmt::format("\"{}\" is no duration such as 90s, 10m, 2h or 1d", text);
	seconds = unit * std::stod(digits);
	if (seconds < 1 || seconds > 366 * 86400.0)
		return fmt::format("\"{}\": expected 1 s to 366 days", text);
	return "";
}

Status print(const Context &context, const std::vector<OrderResult> &results)
{
	if (context.json())
		context.print(results_to_json(results));
	else
		context.print(render::orders_text(results));
	const auto unmet = std::ranges::find_if(results, [](const OrderResult &result) {
		return !result.in_force && result.wait <= 0;
	});
	if (unmet != results.end())
		return fail(Exit::kFailed, fmt::format("{} is not {} yet: {}", unmet->vip,
						       unmet->state, unmet->problem));
	return {};
}

Status run_order(const Context &context, const ControlRequest &request)
{
	if (request.vip.empty() != request.all)
		return fail(Exit::kUsage,
			    fmt::format("{}: name a VIP, or say --all", request.command));
	const auto paths = context.paths();
	if (!paths)
		return tl::unexpected(paths.error());
	const auto reply = ask_agent(paths->socket, request, kAgentPatience);
	if (!reply)
		return tl::unexpected(reply.error());
	if (*reply) {
		AX_TRY((*reply)->status);
		const auto results = results_from_json((*reply)->result);
		if (!results)
			return tl::unexpected(results.error());
		return print(context, *results);
	}
	if (request.seconds)
		return fail(Exit::kFailed,
			    "--for needs the agent: without it nobody ends what begins now",
			    "start it: systemctl start anycast-xdp-agent");
	const auto config = context.load(context.config_path());
	if (!config)
		return tl::unexpected(config.error());
	const auto results = order_directly(context, *config, paths->state, request);
	if (!results)
		return tl::unexpected(results.error());
	return print(context, *results);
}

void add_order(CLI::App &app, const char *name, const char *about, const char *footer,
	       Action &chosen)
{
	const auto request = std::make_shared<ControlRequest>();
	const auto duration = std::make_shared<std::string>();
	request->command = name;
	CLI::App *command = app.add_subcommand(name, about);
	command->add_option("VIP", request->vip, "Its name or address")->type_name("");
	command->add_flag("--all", request->all, "All VIPs");
	command->add_option("--reason", request->reason, "Shown in `status`")->type_name("TEXT");
	command->add_option("--for", *duration, "Until then: 90s, 10m, 2h, 1d (needs the agent)")
		->type_name("DURATION");
	if (request->command != "withdraw")
		command->add_flag("--force", request->force,
				  "Whatever the checks and the damping model say");
	command->footer(footer);
	command->callback([request, duration, &chosen] {
		if (!duration->empty()) {
			double seconds = 0;
			const std::string error = parse_duration(*duration, seconds);
			if (!error.empty())
				throw CLI::ValidationError("--for", error);
			request->seconds = seconds;
		}
		chosen = [request](const Context &context) { return run_order(context, *request); };
	});
}

} // namespace

void add_announce(CLI::App &app, Action &chosen)
{
	add_order(app, "announce", "Announce a VIP again: end of withdraw and drain",
		  "With the agent, its health checks decide from here on. Where one more flap "
		  "could get the VIP\nsuppressed upstream, it waits, and says how long.",
		  chosen);
	add_order(app, "withdraw", "Take a VIP's route back at once",
		  "Holds until `announce`, whatever the health checks say.", chosen);
	add_order(app, "drain", "Mark a VIP's route as the last choice (65535:0, RFC 8326)",
		  "Routers that honour it move new and old flows to other nodes, none is cut off.\n"
		  "Holds until `announce`.",
		  chosen);
}

} // namespace anycast::cli
