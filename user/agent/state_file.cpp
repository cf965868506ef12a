// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/state_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bird/include_file.h"

namespace anycast::agent {

namespace {

using json = nlohmann::ordered_json;

constexpr int kVersion = 1;

Address address_of(const std::string &text)
{
	const auto address = Address::parse(text);
	if (!address)
		throw std::runtime_error(text + " is no address");
	return *address;
}

template <typename T> T value_of(const std::optional<T> &value, const std::string &text)
{
	if (!value)
		throw std::runtime_error(text + " is not known");
	return *value;
}

Saved from_json(const json &document)
{
	Saved saved;
	if (document.at("version") != kVersion)
		throw std::runtime_error("another version");
	for (const auto &[vip, entry] : document.at("decisions").items()) {
		const std::string reach = entry.at("reach");
		saved.announcer.decisions[address_of(vip)] = {
			.reach = value_of(reach_from(reach), reach),
			.reason = entry.at("reason"),
			.wait = 0,
			.since = entry.at("since")};
	}
	for (const auto &[vip, entry] : document.at("orders").items()) {
		auto order = order_from_json(entry);
		if (!order)
			throw std::runtime_error(order.error().what);
		saved.announcer.orders[address_of(vip)] = std::move(*order);
	}
	if (!document.at("canaries_up_since").is_null())
		saved.announcer.canaries_up_since = document["canaries_up_since"].get<double>();
	for (const auto &[id, health] : document.at("health").items())
		saved.health[id] = value_of(health_from(health.get<std::string>()), id);
	saved.downed = document.at("downed").get<std::set<std::string>>();
	saved.bird_socket = document.value("bird_socket", "");
	saved.bird_include = document.value("bird_include", "");
	return saved;
}

} // namespace

std::string saved_to_text(const Saved &saved)
{
	json decisions = json::object(), orders = json::object(), health = json::object();
	for (const auto &[vip, decision] : saved.announcer.decisions)
		decisions[vip.text()] = {{"reach", reach_name(decision.reach)},
					 {"reason", decision.reason},
					 {"since", decision.since}};
	for (const auto &[vip, order] : saved.announcer.orders)
		orders[vip.text()] = order_to_json(order);
	for (const auto &[id, state] : saved.health)
		health[id] = health_name(state);
	json document{{"version", kVersion},
		      {"decisions", std::move(decisions)},
		      {"orders", std::move(orders)},
		      {"canaries_up_since", nullptr},
		      {"health", std::move(health)},
		      {"downed", saved.downed},
		      {"bird_socket", saved.bird_socket},
		      {"bird_include", saved.bird_include}};
	if (saved.announcer.canaries_up_since)
		document["canaries_up_since"] = *saved.announcer.canaries_up_since;
	return document.dump(1, '\t', false, json::error_handler_t::replace) + "\n";
}

Result<Saved> saved_from_text(std::string_view text)
{
	try {
		return from_json(json::parse(text));
	} catch (const std::exception &error) {
		return fail(Exit::kFailed, error.what());
	}
}

Result<Saved> load_saved(const std::string &path)
{
	std::ifstream file(path);
	if (!file) {
		if (errno == ENOENT)
			return Saved{};
		return fail_errno("read " + path, errno);
	}
	std::ostringstream text;
	text << file.rdbuf();
	auto saved = saved_from_text(text.str());
	if (!saved)
		return fail(Exit::kFailed, fmt::format("{}: {}", path, saved.error().what),
			    "the agent goes on from what BIRD announces");
	return saved;
}

Status store_saved(const std::string &path, const Saved &saved)
{
	if (const Status stored = bird::replace_file(path, saved_to_text(saved), 0640); !stored)
		return fail(Exit::kFailed, stored.error().what,
			    "until that works, a restart of the agent goes back to the last state "
			    "that was saved");
	return {};
}

void forget_announced(Saved &saved)
{
	for (auto &[vip, decision] : saved.announcer.decisions)
		decision.reach = Reach::kWithdrawn;
	saved.health.clear();
}

Result<Fd> take_agent_lock(const std::string &path)
{
	std::error_code error;
	std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
	Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
	if (!fd.valid())
		return fail_errno("open " + path, errno,
				  "run the agent as root, or as the user "
				  "that owns the state directory");
	char holder[32] = "";
	if (flock(fd.get(), LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return fail_errno("lock " + path, errno);
		const ssize_t got = pread(fd.get(), holder, sizeof(holder) - 1, 0);
		return fail(
			Exit::kFailed,
			fmt::format("an agent runs already{}",
				    got > 0 ? fmt::format(", process {}", std::atoi(holder)) : ""),
			"ask it with `anycast-xdp status`, or stop it first");
	}
	const std::string own = std::to_string(getpid()) + "\n";
	// A full disk must not keep the agent from running: the number is for people only.
	if (ftruncate(fd.get(), 0) || pwrite(fd.get(), own.data(), own.size(), 0) < 0)
		errno = 0;
	return fd;
}

} // namespace anycast::agent
