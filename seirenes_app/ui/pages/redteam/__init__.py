"""The parts of the Red team page: the list of campaigns, the form of a new one, and the view of a campaign."""
