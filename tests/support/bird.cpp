// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/bird.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include "support/isolation.h"

namespace anycast::test {

namespace {

std::vector<std::string> words(const std::string &line)
{
	std::istringstream stream(line);
	std::vector<std::string> result;
	for (std::string word; stream >> word;)
		result.push_back(word);
	return result;
}

double seconds_of_day(const std::string &time)
{
	int hours = 0, minutes = 0;
	double seconds = 0;
	char colon = 0;
	std::istringstream(time) >> hours >> colon >> minutes >> colon >> seconds;
	return hours * 3600 + minutes * 60 + seconds;
}

} // namespace

Bird::Bird(const Netns &netns, const std::string &config)
	: netns_(netns), base_(std::string(kLabDir) + "/bird-" + netns.name())
{
	std::ofstream(base_ + ".conf") << config;
	unlink((base_ + ".ctl").c_str());
	process_ = Process::call(
		netns,
		[this] {
			// BFD is about time: it must not wait for a CPU that others burn.
			const sched_param first{.sched_priority = 1};
			if (sched_setscheduler(0, SCHED_RR, &first))
				setpriority(PRIO_PROCESS, 0, -20);
			return exec({"bird", "-f", "-c", base_ + ".conf", "-s", base_ + ".ctl"});
		},
		base_ + ".log");
	if (!wait_until(milliseconds(5000),
			[&] {
				return !process_.running() ||
				       access((base_ + ".ctl").c_str(), F_OK) == 0;
			}) ||
	    !process_.running()) {
		throw LabError("bird in " + netns.name() + " does not start: " + log());
	}
}

std::string Bird::log() const
{
	std::ostringstream text;
	text << std::ifstream(base_ + ".log").rdbuf();
	return text.str();
}

std::size_t Bird::count_flaps() const
{
	const std::string text = log();
	constexpr std::string_view change = "BGP session closed";
	std::size_t number = 0;
	for (std::size_t at = 0; (at = text.find(change, at)) != std::string::npos; at++)
		number++;
	return number;
}

std::string Bird::ask(const std::string &command) const
{
	Argv argv{"birdc", "-s", base_ + ".ctl"};
	for (const std::string &word : words(command))
		argv.push_back(word);
	return ::anycast::test::run(netns_, argv, {}, milliseconds(5000)).out;
}

bool SessionState::operator==(const SessionState &other) const
{
	return state == other.state && std::abs(since - other.since) < 0.5;
}

std::ostream &operator<<(std::ostream &out, const SessionState &session)
{
	return out << session.state << " since " << session.since;
}

std::map<std::string, SessionState> Bird::session_states() const
{
	std::map<std::string, SessionState> result;
	std::istringstream answer(ask("show protocols"));
	for (std::string line; std::getline(answer, line);) {
		// edge1      BGP        ---        up     15:40:11.022  Established
		const auto field = words(line);
		if (field.size() < 5 || field[1] != "BGP")
			continue;
		std::string info = field.size() > 5 ? field[5] : field[3];
		for (std::size_t i = 6; i < field.size(); i++)
			info += " " + field[i];
		result[field[0]] = {info, seconds_of_day(field[4])};
	}
	return result;
}

std::map<std::string, std::string> Bird::sessions() const
{
	std::map<std::string, std::string> result;
	for (const auto &[name, session] : session_states())
		result[name] = session.state;
	return result;
}

bool Bird::established(const std::string &protocol) const
{
	const auto all = sessions();
	const auto found = all.find(protocol);
	return found != all.end() && found->second == "Established";
}

std::map<std::string, std::string> Bird::bfd_sessions() const
{
	std::map<std::string, std::string> result;
	std::istringstream answer(ask("show bfd sessions"));
	for (std::string line; std::getline(answer, line);) {
		// 10.1.0.2    lan0    Up    15:40:11.022    0.300    0.900
		const auto field = words(line);
		if (field.size() == 6 && field[0].find_first_of(".:") != std::string::npos)
			result[field[0]] = field[2];
	}
	return result;
}

} // namespace anycast::test
