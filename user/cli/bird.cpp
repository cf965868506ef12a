// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp bird status, bird render
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bird/base_config.h"
#include "bird/speaker.h"
#include "cli/app.h"
#include "render/bird.h"

namespace anycast::cli {

namespace {

constexpr std::chrono::milliseconds kPatience{5000};

Result<Wanted> wanted_by_file(const Config &config)
{
	const auto text = bird::read_file(config.bird.include);
	if (!text)
		return tl::unexpected(text.error());
	const auto reach = bird::reach_in(*text);
	if (!reach)
		return tl::unexpected(reach.error());
	return wanted_for(config, *reach);
}

Status run_status(const Context &context)
{
	const auto config = context.load(context.config_path());
	if (!config)
		return tl::unexpected(config.error());
	const auto wanted = wanted_by_file(*config);
	if (!wanted)
		return tl::unexpected(wanted.error());
	bird::Speaker speaker(config->bird);
	const BirdStatus status = speaker.inspect(*wanted, kPatience);
	if (context.json())
		context.print(render::bird_json(status, *wanted));
	else
		context.print(render::bird_text(status, *wanted));
	switch (status.state) {
	case BirdState::kAbsent:
	case BirdState::kHung:
	case BirdState::kRefused:
		return fail(Exit::kFailed, status.problem);
	default:
		return {};
	}
}

struct RenderArguments {
	std::string out;
};

// bird -p, which needs all the files that a configuration includes. Its complaint, or "".
Result<std::string> parsed_by_bird(const std::string &path)
{
	int ends[2];
	if (::pipe2(ends, O_CLOEXEC) != 0)
		return fail_errno("pipe", errno);
	Fd reading(ends[0]), writing(ends[1]);
	const pid_t child = ::fork();
	if (child < 0)
		return fail_errno("fork", errno);
	if (child == 0) {
		::dup2(writing.get(), STDOUT_FILENO);
		::dup2(writing.get(), STDERR_FILENO);
		// Debian has it where a user's PATH does not look.
		::execlp("bird", "bird", "-p", "-c", path.c_str(), nullptr);
		::execl("/usr/sbin/bird", "bird", "-p", "-c", path.c_str(), nullptr);
		::_exit(127);
	}
	writing.reset();
	std::string said;
	char buffer[4096];
	ssize_t got = 0;
	while ((got = ::read(reading.get(), buffer, sizeof(buffer))) > 0)
		said.append(buffer, static_cast<std::size_t>(got));
	int status = 0;
	::waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return fail(Exit::kFailed, "there is no bird here to check the configuration with",
			    "install it (apt install bird2), or render to stdout");
	if (status == 0)
		return std::string();
	return said.empty() ? "bird -p fails" : said.substr(0, said.find_last_not_of('\n') + 1);
}

// To FILE, once BIRD has accepted it; it may hold passwords.
Status write_checked(const std::string &path, const std::string &text)
{
	const std::string trial = path + ".new";
	AX_TRY(bird::replace_file(trial, text, 0640));
	struct stat old {};
	if (::stat(path.c_str(), &old) == 0)
		(void)!::chown(trial.c_str(), old.st_uid, old.st_gid);
	const auto complaint = parsed_by_bird(trial);
	if (!complaint || !complaint->empty()) {
		::unlink(trial.c_str());
		if (!complaint)
			return tl::unexpected(complaint.error());
		return fail(Exit::kFailed,
			    fmt::format("BIRD refuses what was rendered: {}", *complaint));
	}
	if (::rename(trial.c_str(), path.c_str()) != 0)
		return fail_errno(fmt::format("rename {} to {}", trial, path), errno);
	return {};
}

Status run_render(const Context &context, const RenderArguments &arguments)
{
	const auto config = context.load(context.config_path());
	if (!config)
		return tl::unexpected(config.error());
	const auto text = bird::base_config(*config);
	if (!text)
		return tl::unexpected(text.error());
	const std::string &include = config->bird.include;
	const bool included = ::access(include.c_str(), F_OK) == 0;
	if (arguments.out.empty()) {
		if (context.json())
			context.print({{"config", *text}, {"include", include}});
		else
			context.print(*text);
		if (!included)
			context.note(fmt::format("{} does not exist yet, and BIRD needs it: "
						 "`bird render --out FILE` makes it",
						 include));
		return {};
	}
	if (!included)
		AX_TRY(bird::replace_file(include, bird::include_text(wanted_for(*config, {}))));
	const auto old = bird::read_file(arguments.out);
	const bool changed = !old || *old != *text;
	if (changed)
		AX_TRY(write_checked(arguments.out, *text));
	if (context.json())
		context.print({{"file", arguments.out}, {"changed", changed}});
	else
		context.print(fmt::format("{}: {}{}\n", arguments.out,
					  changed ? "changed" : "unchanged",
					  changed ? " (tell BIRD: birdc configure)" : ""));
	return {};
}

} // namespace

void add_bird(CLI::App &app, Action &chosen)
{
	CLI::App *group = app.add_subcommand("bird", "BIRD: its sessions, its configuration");
	group->require_subcommand(1);
	CLI::App *status = group->add_subcommand(
		"status", "Sessions, and which VIPs each announces and should");
	status->footer("Degraded: some of the sessions are down. Exits with 1 if BIRD cannot be "
		       "asked.");
	status->callback([&chosen] { chosen = run_status; });

	const auto arguments = std::make_shared<RenderArguments>();
	CLI::App *render = group->add_subcommand(
		"render", "A whole configuration for BIRD, from [bird] and its neighbours");
	render->add_option("--out", arguments->out,
			   "Write it there, once `bird -p` accepts it [stdout]")
		->type_name("FILE");
	render->footer("A configuration of your own needs one line before its BGP protocols, and "
		       "one in their channels:\n"
		       "  include \"/var/lib/anycast-xdp/bird.conf\";\n"
		       "  export where anycast_xdp_ebgp();     (anycast_xdp_ibgp() within the AS)");
	render->callback([arguments, &chosen] {
		chosen = [arguments](const Context &context) {
			return run_render(context, *arguments);
		};
	});
}

} // namespace anycast::cli
